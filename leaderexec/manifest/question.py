"""``--manifest KIND``: from the command line to the objects on stdout."""

import re
import sys
from collections.abc import Mapping, Sequence

from leaderexec.config import options
from leaderexec.config import settings as configuration
from leaderexec.config.options import Given, UsageError
from leaderexec.manifest import objects, writing

# Where this machine's own API server, elector and name are configured: a pod has others.
_OF_THIS_MACHINE = ("identity", "kubeconfig", "api-server", "sse-url", "get-url")
# What the pod's own times are computed from.
_ALWAYS = ("grace", "grace-lost")
_ELECTOR = "elector"


def answer(
    asked: Mapping[str, object],
    given: Mapping[str, str],
    command: Sequence[str],
    environ: Mapping[str, str],
) -> int:
    """Print the objects; `asked` are the values of --manifest, --image and --elector-image. Raises
    UsageError."""
    kind = str(asked["manifest"])
    if not command:
        raise UsageError(
            "--manifest needs the command that the pods are to run; put it after --, as in:"
            f" leaderexec --manifest {kind} --lease my-worker -- python worker.py"
        )
    ours = {name: text for name, text in environ.items() if name.startswith(options.PREFIX)}
    given = dict(given)
    if given.setdefault("election", kind) != kind:
        raise UsageError(
            f"--manifest {kind} is for --election {kind}, and --election is"
            f" {given['election']!r}; leave it out"
        )
    namespace, name = _take_name(given, ours, kind)
    if kind == _ELECTOR:
        ours["ELECTOR_PATH"] = objects.ELECTOR_ADDRESS
    else:
        given["lease"] = name
    values = configuration.settle(given, ours, "a-pod")
    for option in _OF_THIS_MACHINE:
        if values[option].by_us:
            raise UsageError(
                f"{values[option].source} is of this machine, and the pods have their own; leave it"
                " out for --manifest"
            )
    config = configuration.build(values, command)
    _check(config)
    images = [asked["image"] or objects.image_of(name)]
    if kind == _ELECTOR:
        images.append(asked["elector-image"] or objects.ELECTOR_IMAGE)
    manifest = objects.Manifest(
        name,
        namespace,
        config,
        _variables(kind, values, given, ours),
        str(images[0]),
        str(images[1]) if kind == _ELECTOR else None,
    )
    try:
        text = writing.dump(manifest.objects())
    except UnicodeEncodeError:
        raise UsageError(
            "the command, or an option, has bytes that are not UTF-8, which YAML can't hold; put"
            " them into a script in the image"
        ) from None
    for line in _remarks(config, values, ours, images):
        sys.stderr.write(f"leaderexec: {line}\n")
    sys.stdout.write(text)
    return 0


def _take_name(given: dict[str, str], ours: dict[str, str], kind: str) -> tuple[str, str]:
    """Remove --lease from what was given; return its namespace and name. Raises UsageError."""
    from_variable = ours.pop("LEADEREXEC_LEASE", None)
    text = given.pop("lease", from_variable)
    if not text:
        raise UsageError(
            f"--manifest {kind} needs --lease [NAMESPACE/]NAME, by which the election and all the"
            " objects are called"
        )
    namespace, _, name = text.rpartition("/")
    if any(not re.fullmatch(objects.LABEL, part) for part in (name, namespace or name)):
        raise UsageError(
            f"--lease is {text!r}, by which a container is called, too; allowed for --manifest:"
            " [NAMESPACE/]NAME of at most 63 lower-case letters, digits and -, such as my-worker"
        )
    return namespace, name


def _check(config: configuration.Config) -> None:
    """Raise UsageError for what does not fit a Deployment."""
    if config.leader_label is not None and config.leader_label.key == objects.SELECTED_BY:
        raise UsageError(
            f"--leader-label is {str(config.leader_label)!r}, a label by which the Deployment"
            " selects its pods; choose another one, such as role=leader"
        )
    if config.once:
        raise UsageError(
            "--once ends, and a Deployment would start its container again and again; run it in an"
            " init container, and leave it out for --manifest"
        )


def _variables(
    kind: str, values: Mapping[str, Given], given: Mapping[str, str], ours: Mapping[str, str]
) -> dict[str, str]:
    """Return the container's variables: everything that was given and has an effect, as given."""
    found = {}
    if kind == _ELECTOR:
        url = f"http://{objects.ELECTOR_ADDRESS}/"
        found = {
            "ELECTOR_PATH": objects.ELECTOR_ADDRESS,
            "ELECTOR_GET_URL": url,
            "ELECTOR_SSE_URL": f"{url}sse",
        }
    for one in configuration.OPTIONS:
        if one.name == "election" or (one.kinds and kind not in one.kinds):
            continue
        text = given.get(one.name) or ours.get(one.variable)
        if text is None and one.name in _ALWAYS:
            text = options.show(one, values[one.name].value)
        if text is not None:
            found[one.variable] = text
    return found


def _remarks(
    config: configuration.Config,
    values: Mapping[str, Given],
    ours: Mapping[str, str],
    images: Sequence[object],
) -> list[str]:
    """Return what people should know before they apply this."""
    told = [f"warning: {warning}" for warning in configuration.warnings(values, ours)]
    told += [f"warning: {warning}" for warning in config.kind.warnings(config)]
    for image, option in zip(images, ("--image", "--elector-image"), strict=False):
        if str(image).endswith(":TAG"):
            told.append(f"replace {image}, or give {option} IMAGE")
    if objects.probed_port(config) is None:
        told.append("there are no probes; the kubelet can ask where --http is :8080, say")
    elif config.peers and objects.peers_service(config) is None:
        told.append(
            f"--peers is {','.join(config.peers)!r}, for which there is no Service here; one is"
            " made for a single name without dots and with the port of --http, such as my-workers"
        )
    return told
