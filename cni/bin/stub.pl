#!/usr/bin/perl
# Hands a CNI request to the node's daemon; when none answers, becomes the full plugin (wherry-cni.paths says where).
#
# Why Perl: a runtime starts this four times in a pod's life, and starting is nearly all it costs. Python starts in
# 7.6 ms, Perl in 1.8, /bin/true in 0.7; to compile this file takes 0.4. Hence no `use`: strict costs 0.3 ms, warnings
# 1.4 (a test compiles with both). Debian and Ubuntu always have /usr/bin/perl: its package, perl-base, is essential.
#
# To the daemon: "PLUGIN\0KEY=VALUE\0...\0\0" and standard input, then end of file.
# Back: exit status as one byte, standard output, "\0" (an answer without it was cut off), end of file.

# Numbers that modules would name; they are Linux's, the same on amd64 and arm64.
my ($AF_UNIX, $SOCK_STREAM, $SOL_SOCKET, $SO_RCVTIMEO, $SO_SNDTIMEO, $SHUT_WR, $EINTR) = (1, 1, 1, 20, 21, 1, 4);
my $SECONDS = 60;

$SIG{PIPE} = "IGNORE";    # a write to what went away shall fail, not kill
my ($directory, $plugin) = $0 =~ m{^(.*)/(.*)}s ? ($1, $2) : (".", $0);
my $config = read_all(\*STDIN);

# Without a JSON parser; a path with escapes is as good as none.
my ($socket) = $config =~ m{"daemonSocket"\s*:\s*"(/[^"\\]*)"};
$socket ||= (installed())[2];    # containerd's own configuration of loopback cannot name one
my $answer = $socket ? ask($socket) : undef;
if (($answer // "") =~ /^(.)(.*)\0\z/s) {
    my ($status, $output) = (ord $1, $2);
    write_all(\*STDOUT, $output);
    exit $status;
}
become_full() if !defined $answer || ($ENV{CNI_COMMAND} // "") ne "ADD";
# Part of an ADD may be done; the runtime answers a failed ADD with DEL, which clears it.
fail(11, "the CNI daemon went away; try again later");

# The interpreter, the project's directory and the daemon's socket, as they were installed.
sub installed {
    open(my $paths, "<", "$directory/wherry-cni.paths") or return;
    return split /\n/, read_all($paths);
}

# The daemon's answer; undef when there is no daemon, what came of it when it went away while working.
sub ask {
    my ($path) = @_;
    socket(my $daemon, $AF_UNIX, $SOCK_STREAM, 0) or return;
    # Each wait is bounded: for room in the daemon's queue, to be read, to be answered.
    setsockopt($daemon, $SOL_SOCKET, $_, pack("l!l!", $SECONDS, 0)) for $SO_RCVTIMEO, $SO_SNDTIMEO;
    until (connect($daemon, pack("S a*", $AF_UNIX, $path))) { return if $! != $EINTR }
    my @environment = map { "$_=$ENV{$_}" } grep { /^CNI_/ } keys %ENV;
    write_all($daemon, join("\0", $plugin, @environment) . "\0\0$config") or return "";
    shutdown($daemon, $SHUT_WR);
    return read_all($daemon);
}

sub become_full {
    my ($interpreter, $root) = installed();
    if (defined $root) {
        # Forks: what the child writes there is standard input here, whatever its size, and no file is needed.
        my $child = open(STDIN, "-|");
        if (defined $child && $child == 0) { write_all(\*STDOUT, $config); exit }
        $ENV{PYTHONPATH} = $root;
        exec { $interpreter } $interpreter, "-m", "cni.main", $plugin;
    }
    fail(5, "no CNI daemon answers and $directory/wherry-cni.paths does not lead to the plugin");
}

sub fail {
    my ($code, $message) = @_;
    $message =~ s/(["\\])/\\$1/g;
    write_all(\*STDOUT, qq({"cniVersion": "1.0.0", "code": $code, "msg": "$message"}));
    exit 1;
}

# Everything up to end of file, or to an error (a deadline is one).
sub read_all {
    my ($from) = @_;
    my $all = "";
    binmode $from;    # bytes, whatever PERL_UNICODE says
    while (1) {
        my $count = sysread($from, $all, 65536, length $all);
        next if !defined $count && $! == $EINTR;
        return $all if !$count;
    }
}

# Whether all of it could be written.
sub write_all {
    my ($to, $data) = @_;
    binmode $to;
    while (length $data) {
        my $count = syswrite($to, $data);
        next if !defined $count && $! == $EINTR;
        return 0 if !$count;
        substr($data, 0, $count) = "";
    }
    return 1;
}
