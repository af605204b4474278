"""What an account has to be allowed, as rules of a Role (rbac.authorization.k8s.io/v1). Pure."""

from collections.abc import Mapping, Sequence

Rule = dict[str, list[str]]


def lease_rules(*names: str) -> list[Rule]:
    """Return what holding one of these Leases takes. To create can't be limited to a name."""
    leases = {"apiGroups": ["coordination.k8s.io"], "resources": ["leases"]}
    return [
        {**leases, "resourceNames": [*names], "verbs": ["get", "update", "watch"]},
        {**leases, "verbs": ["create"]},
    ]


def reading_rules(lease: str) -> list[Rule]:
    """Return what it takes to see an elector's Lease, and what became of its holder's Pod."""
    return [
        {
            "apiGroups": ["coordination.k8s.io"],
            "resources": ["leases"],
            "resourceNames": [lease],
            "verbs": ["get"],
        },
        {"apiGroups": [""], "resources": ["pods"], "verbs": ["get"]},
    ]


def elector_rules() -> list[Rule]:
    """Return what the elector needs: the Lease is owned by the leader's Pod, so that it goes when
    that does, and it looks up its own Pod for the reference, which may block the deletion."""
    return [
        {
            "apiGroups": ["coordination.k8s.io"],
            "resources": ["leases"],
            "verbs": ["get", "list", "watch", "create"],
        },
        {"apiGroups": [""], "resources": ["pods"], "verbs": ["get"]},
        {"apiGroups": [""], "resources": ["pods/finalizers"], "verbs": ["update"]},
    ]


def label_rules() -> list[Rule]:
    """Return what --leader-label takes. Which Pods there will be, no Role can know: it is all of
    the namespace."""
    return [{"apiGroups": [""], "resources": ["pods"], "verbs": ["get", "list", "patch"]}]


def label_role(namespace: str) -> str:
    """Return the Role for that."""
    return in_one_line("leaderexec-label", namespace, label_rules())


def in_one_line(name: str, namespace: str, rules: Sequence[Rule]) -> str:
    """Return the Role, ready for ``kubectl apply -f -``: YAML on one line, without double quotes,
    so that no log escapes any of it."""
    shown = ", ".join(_flow(rule) for rule in rules)
    return (
        "{apiVersion: rbac.authorization.k8s.io/v1, kind: Role,"
        f" metadata: {{name: '{name}', namespace: '{namespace}'}}, rules: [{shown}]}}"
    )


def _flow(rule: Mapping[str, Sequence[str]]) -> str:
    # A name may look like a number, and the API group of Pods is empty.
    quoted = ("resourceNames", "apiGroups")
    parts = []
    for key, values in rule.items():
        shown = ", ".join(f"'{one}'" if key in quoted else one for one in values)
        parts.append(f"{key}: [{shown}]")
    return f"{{{', '.join(parts)}}}"
