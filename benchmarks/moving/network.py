"""Hosts: each a network namespace with a wire to this one, which can be cut and healed."""

import os
import subprocess
import sys

API_ADDRESS = "10.77.0.1"
# All of the wires, for iptables(8).
WIRES = "wire+"
INSIDE = "--inside"
_REJECT = (("-j", "REJECT", "--reject-with", "tcp-reset"),)
_DROP = (("-j", "DROP"),)
# A token bucket; what finds it empty is lost, and is sent again.
_SLOW = (("-m", "limit", "--limit", "10/s", "--limit-burst", "5", "-j", "ACCEPT"), *_DROP)
# What becomes of what is sent, and of what would be received.
_CUTS = {
    "reject": (_REJECT, _REJECT),
    "drop": (_DROP, _DROP),
    "deaf": ((), _DROP),
    "mute": (_DROP, ()),
    "slow": (_SLOW, _SLOW),
}


def enter() -> None:
    """Run this program again in its own namespaces (as root): the machine's network is not
    touched, and everything it started ends with it."""
    if INSIDE not in sys.argv:
        apart = ("--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc")
        os.execvp("unshare", ["unshare", *apart, sys.executable, *sys.argv, INSIDE])
    os.makedirs("/run/netns", exist_ok=True)
    _run("mount", "-t", "tmpfs", "none", "/run/netns")  # for ip-netns(8)
    _run("ip", "link", "set", "lo", "up")
    _run("ip", "address", "add", f"{API_ADDRESS}/32", "dev", "lo")


class Host:
    """A host that reaches the API server over one wire."""

    def __init__(self, number: int) -> None:
        self.name = f"host{number}"
        self._wire = f"wire{number}"
        subnet = f"10.77.{100 + number // 60}.{number % 60 * 4}"
        here, self.address = (_plus(subnet, more) for more in (1, 2))
        _run("ip", "netns", "add", self.name)
        peer = ("peer", "name", "eth0", "netns", self.name)
        _run("ip", "link", "add", self._wire, "type", "veth", *peer)
        _run("ip", "address", "add", f"{here}/30", "dev", self._wire)
        _run("ip", "link", "set", self._wire, "up")
        for words in (
            ("address", "add", f"{self.address}/30", "dev", "eth0"),
            ("link", "set", "eth0", "up"),
            ("link", "set", "lo", "up"),
            ("route", "add", "default", "via", here),
        ):
            _run("ip", "-n", self.name, *words)

    @property
    def prefix(self) -> tuple[str, ...]:
        """Return the command that runs a command there, and becomes it."""
        return ("nsenter", f"--net=/run/netns/{self.name}")

    def cut(self, how: str) -> None:
        """Let nothing through, both ways: "reject" (connections are reset) or "drop"; only one way:
        "deaf" or "mute"; or little: "slow"."""
        sides = (("OUTPUT", "--destination"), ("INPUT", "--source"))
        for (chain, side), rules in zip(sides, _CUTS[how], strict=True):
            for rule in rules:
                what = ("-p", "tcp", side, API_ADDRESS)
                _run(*self.prefix, "iptables", "-w", "-A", chain, *what, *rule)

    def heal(self) -> None:
        """Let everything through again."""
        _run(*self.prefix, "iptables", "-w", "-F")

    def octets(self) -> int:
        """Return how many bytes have crossed the wire so far, both ways, headers included."""
        with open("/proc/net/dev", encoding="ascii") as table:
            for line in table:
                name, _, counts = line.partition(":")
                if name.strip() == self._wire:
                    words = counts.split()
                    return int(words[0]) + int(words[8])
        raise LookupError(self._wire)


def _plus(subnet: str, more: int) -> str:
    front, _, last = subnet.rpartition(".")
    return f"{front}.{int(last) + more}"


def _run(*words: str) -> None:
    done = subprocess.run(words, check=False, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"{' '.join(words)}: {done.stderr.strip()}")
