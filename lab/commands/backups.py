"""`backup`, `verify` and `restore`: copies of all that the API server holds."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

import click
from click.core import ParameterSource

from apimachinery.client import Client
from controlplane.store import Change, Place, StoreError, backup
from lab import cgroups, cluster, components, names, state
from lab.commands.base import NAME, existing, root, run, running
from lab.paths import Paths
from lab.progress import Progress
from lab.spec import Spec

_PEM = click.Path(path_type=Path, dir_okay=False)
_OF_ETCD = ("etcd_ca_file", "etcd_cert_file", "etcd_key_file", "etcd_prefix")
_FILE = click.argument("file", type=click.Path(path_type=Path, dir_okay=False))


@click.command("backup")
@NAME
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False), required=False)
def take(lab: str, file: Path | None) -> None:
    """Write a copy of everything in a running lab into FILE; the lab goes on meanwhile.

    Secrets lie in it as they are: keep it from others. Scheduled copies are in the lab's apiserver/backups.

    \b
    Examples:
      sudo ./wherry backup
      sudo ./wherry backup /mnt/elsewhere/lab.db
    """
    root()
    paths, _ = running(lab)
    target = file or Path(time.strftime(f"wherry-{lab}-%Y%m%d-%H%M%S.db"))
    run(_download(paths, target))
    _tell(target)


async def _download(paths: Paths, target: Path) -> None:
    client = Client.from_kubeconfig(paths.kubeconfig, user_agent="wherry")
    partial = target.with_name(f"{target.name}.partial")
    try:
        partial.touch(0o600)
        with partial.open("wb") as file:
            async for piece in client.stream("/snapshot"):
                file.write(piece)
            file.flush()
            os.fsync(file.fileno())
        partial.rename(target)
    finally:
        partial.unlink(missing_ok=True)
        await client.close()


@click.command("verify")
@_FILE
def verify(file: Path) -> None:
    """Read a whole backup and compare it with its checksums; nothing is changed.

    \b
    Example:
      sudo ./wherry verify wherry-lab-20260101-120000.db
    """
    _tell(file)


def _tell(file: Path) -> None:
    try:
        notes, changes = backup.read(file)
    except StoreError as error:
        _refuse(error)
    size = file.stat().st_size / 1e6
    click.echo(f"{file} is whole: {len(changes)} objects at revision {notes.newest}, {size:.1f} MB")


@click.command("restore")
@NAME
@click.option("--etcd-servers", default="", help="Into an etcd that is no lab's: its URLs, parted by commas.")
@click.option("--etcd-ca-file", type=_PEM, default=None, help="Whose members are believed.")
@click.option("--etcd-cert-file", type=_PEM, default=None, help="How to prove oneself to them.")
@click.option("--etcd-key-file", type=_PEM, default=None, help="The key of that.")
@click.option("--etcd-prefix", default="/registry", show_default=True, help="What lies below it is replaced.")
@_FILE
def restore(
    lab: str,
    file: Path,
    etcd_servers: str,
    etcd_ca_file: Path | None,
    etcd_cert_file: Path | None,
    etcd_key_file: Path | None,
    etcd_prefix: str,
) -> None:
    """Put a backup in the place of what a lab holds, whichever store it was made of. The lab must be stopped.

    What is there now is kept beside it. In a file revisions jump ahead, so that everybody who watches lists again; etcd
    counts its own.

    \b
    Examples:
      sudo ./wherry stop && sudo ./wherry restore lab.db && sudo ./wherry start
      ./wherry restore --etcd-servers https://10.0.0.1:2379 --etcd-ca-file ca.crt \\
          --etcd-cert-file client.crt --etcd-key-file client.key lab.db
    """
    given = click.get_current_context().get_parameter_source
    told = [each for each in ("lab", *_OF_ETCD) if given(each) is ParameterSource.COMMANDLINE]
    if wrong := [_spelled(each) for each in told if (each in _OF_ETCD) != bool(etcd_servers)]:
        meant = "a lab's own store" if etcd_servers else "an etcd that is no lab's"
        without = "without" if etcd_servers else "with"
        raise click.UsageError(f"{', '.join(wrong)}: that is about {meant}, {without} --etcd-servers")
    if (etcd_cert_file is None) != (etcd_key_file is None):
        raise click.UsageError("give both --etcd-cert-file and --etcd-key-file, or neither")
    if etcd_servers:
        servers = tuple(etcd_servers.split(","))
        place = Place(file.parent, servers, etcd_ca_file, etcd_cert_file, etcd_key_file, etcd_prefix)
        run(_into_etcd(place, _content(file)))
        return
    root()
    # Nobody starts it meanwhile.
    with state.locked(Paths(lab)):
        paths, chosen = existing(lab)
        if chosen.store == "etcd":
            _into_labs_etcd(chosen, paths, _content(file))
        else:
            _into_file(paths, file)
    click.echo(f"Lab {lab} goes on with it: `sudo ./wherry start`")


def _spelled(parameter: str) -> str:
    return "--name" if parameter == "lab" else "--" + parameter.replace("_", "-")


def _into_file(paths: Paths, file: Path) -> None:
    try:
        count, revision, aside = backup.restore(file, paths.apiserver / "state.db")
    except StoreError as error:
        _refuse(error)
    click.echo(f"{count} objects are back, at revision {revision}")
    if aside is not None:
        click.echo(f"What was there before is in {aside}")


def _into_labs_etcd(chosen: Spec, paths: Paths, content: Sequence[Change]) -> None:
    if cgroups.members(names.daemons(chosen.name)):
        _refuse(StoreError(f"lab {chosen.name} is running; `sudo ./wherry stop` first"))
    told = components.store_settings(chosen, paths)
    ca, cert, key = (Path(told[f"etcd_{name}_file"]) for name in ("ca", "cert", "key"))
    place = Place(paths.apiserver, tuple(told["etcd_servers"]), ca, cert, key)
    run(cluster.with_etcd(chosen, paths, Progress(), _into_etcd(place, content, unused=True)))


async def _into_etcd(place: Place, content: Sequence[Change], *, unused: bool = False) -> None:
    # Every kind there is: only who restores waits for that.
    from controlplane.apiserver.app import lifetimes
    from controlplane.apiserver.layout import UpstreamLayout
    from controlplane.apiserver.resources import builtin
    from controlplane.apiserver.settings import Settings
    from controlplane.store.etcd import restore as etcd

    layout = UpstreamLayout(builtin.catalog())
    aside = place.data_dir / time.strftime("before-restore-%Y%m%d-%H%M%S.db", time.gmtime())
    try:
        kept = await etcd.set_aside(place, layout, aside)
        if kept is not None:
            click.echo(f"What is there now, {kept.objects} objects, is kept in {aside}")
        await etcd.restore(place, layout, content, lifetimes(Settings(place.data_dir)), unused=unused)
    except StoreError as error:
        _refuse(error)
    click.echo(f"{len(content)} objects are back in etcd at {', '.join(place.servers)}")


def _content(file: Path) -> Sequence[Change]:
    try:
        return backup.read(file)[1]
    except StoreError as error:
        _refuse(error)


def _refuse(error: StoreError) -> NoReturn:
    raise click.ClickException(str(error)) from error
