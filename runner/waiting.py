"""The runs of a sweep that are to be started, in the groups in which they are trained."""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Sequence

from batchlab.runner.before import Before
from batchlab.runner.launch.executors.base import Executor
from batchlab.runner.options import SweepOptions
from batchlab.runner.plan.config import Planned
from batchlab.runner.plan.fuse import Group, Grouping, grouped, key
from batchlab.runner.policies import Policies


def grouping(before: Before, executor: Executor, options: SweepOptions, apart: Collection[str] = ()) -> Grouping:
    """The runs that are left in groups.

    Args:
        before: what there is of them.
        executor: what trains them.
        options: how to go about it.
        apart: keys of runs (`plan.fusable`) that cannot be trained together after all.
    """

    def why(planned: Planned) -> str:
        if options.timeout is not None:
            return "--timeout ends runs one by one"
        if apart and key(planned.tree) in apart:
            return "tried together before"
        return before.single.get(planned.run_id, "")

    return grouped(before.left, executor.together, executor.places, why, before.mates)


class Waiting:
    """The runs that wait for room.

    Args:
        executor: what will train them.
        policies: which may start.
    """

    def __init__(self, executor: Executor, policies: Policies) -> None:
        self.executor, self.policies = executor, policies
        self.groups: deque[Group] = deque()
        self.apart: set[str] = set()
        """Keys of runs that cannot be trained together after all."""

    def __len__(self) -> int:
        """How many runs there are."""
        return sum(map(len, self.groups))

    def __bool__(self) -> bool:
        return bool(self.groups)

    @property
    def allowed(self) -> Group:
        """Those of the next that may be started."""
        return self.policies.allowed(self.groups[0]) if self.groups else ()

    def add(self, found: Before) -> None:
        """Start what is left of these too."""
        if self.executor.together == 1 or len(found.left) == 1:  # nobody asks what it could be trained with
            self.groups.extend((planned,) for planned in found.left)
        else:
            self.groups.extend(grouping(found, self.executor, self.policies.options, self.apart).groups)

    def first(self, plans: Sequence[Planned]) -> None:
        """Start these next, each alone."""
        self.groups.extendleft((planned,) for planned in reversed(plans))

    def part(self, plans: Sequence[Planned]) -> int:
        """Start these next, each alone, and all that could be trained together with them alone too: how many more."""
        keys = {key(planned.tree) for planned in plans}
        self.apart |= keys
        groups, self.groups, more = self.groups, deque(), 0
        for group in groups:
            parted = len(group) > 1 and key(group[0].tree) in keys
            more += len(group) * parted
            self.groups.extend([(planned,) for planned in group] if parted else [group])
        self.first(plans)
        return more

    def take(self) -> Group:
        """The next ones, which start in one process; none where that may not be now."""
        allowed = self.allowed
        if not allowed or not self.executor.room(int(allowed[0].tree["nproc"])):
            return ()
        group = self.groups.popleft()
        if rest := tuple(planned for planned in group if planned not in allowed):
            self.groups.appendleft(rest)
        return allowed
