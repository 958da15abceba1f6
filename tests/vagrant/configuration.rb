# configuration.rb PROVIDER: what Vagrant makes of the Vagrantfile in VAGRANT_CWD, as JSON: each machine's settings.
require "json"
require "vagrant"

# The plugin vagrant-qemu is in no package of Debian's. Its settings by name, so that a block which sets another fails.
class Qemu < Vagrant.plugin("2")
  name "qemu"
  config(:qemu, :provider) do
    Class.new(Vagrant.plugin("2", :config)) do
      attr_accessor :memory, :smp, :ssh_auto_correct, :advanced_network, :net_mode
    end
  end
  provider(:qemu, box_format: "libvirt") { Class.new(Vagrant.plugin("2", :provider)) }
end

provider = ARGV.fetch(0).to_sym
vagrantfile = Vagrant::Environment.new(ui_class: Vagrant::UI::Silent).vagrantfile
told = vagrantfile.machine_names.to_h do |name|
  config = vagrantfile.machine_config(name, provider, nil, nil, false)[:config]
  own = config.vm.get_provider_config(provider)
  settings = own.instance_variables.to_h { |at| [at.to_s.delete_prefix("@"), own.instance_variable_get(at)] }
  [name, {
    "hostname" => config.vm.hostname,
    "box" => config.vm.box,
    "patience" => [config.vm.boot_timeout, config.vm.graceful_halt_timeout],
    "address" => config.vm.networks.filter_map { |kind, options| options[:ip] if kind == :private_network }.first,
    "install" => config.vm.provisioners.map { |each| each.config.args }.first,
    "settings" => settings.select { |_, value| [String, Integer, TrueClass, FalseClass, Symbol, Array].include?(value.class) },
  }]
end
puts JSON.generate(told)
