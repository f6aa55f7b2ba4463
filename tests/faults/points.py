"""Which processes can die at which crash point."""

from __future__ import annotations

# Points that the clients' load passes, so that an armed one is met.
DYING: dict[str, tuple[str, ...]] = {
    "answer.lost": ("gateway",),
    "submit.intent_written": ("jobs",),
    "submit.held": ("jobs",),
    "submit.works_created": ("jobs",),
    "submit.queued": ("jobs",),
    "submit.answer_kept": ("jobs",),
    "hold.before_commit": ("accounts",),
    "hold.committed": ("accounts",),
    "works.before_commit": ("works",),
    "works.created": ("works",),
    "claim.leased": ("jobs",),
    "claim.shown": ("jobs",),
    "claim.taken": ("worker",),
    "step.ran": ("worker",),
    "step.recorded": ("jobs",),
    "step.kept": ("worker",),
    "picture.stored": ("inference",),
    "artifact.stored": ("worker",),
    "finish.unreported": ("worker",),
    "finish.before_commit": ("jobs",),
    "finish.recorded": ("jobs",),
    "finish.reported": ("worker",),
    "settle.before_commit": ("accounts",),
    "relay.before_publish": ("jobs",),
    "relay.published": ("jobs", "accounts"),
    "relay.sent": ("jobs",),
    "consume.before_commit": ("accounts", "works"),
    "consume.taken_effect": ("accounts", "works"),
    "sign_up.committed": ("accounts",),
}
# Points that are passed only where something else happens first.
STAGED: dict[str, tuple[str, ...]] = {
    "submit.refused": ("jobs",),
    "cancel.recorded": ("jobs",),
    "grant.committed": ("accounts",),
    "lapse.before_commit": ("accounts",),
    "session.refreshed": ("accounts",),
    "sweep.lease_ended": ("jobs",),
    "sweep.taken_over": ("jobs",),
    "sweep.object_deleted": ("works",),
    "relay.unsent": ("jobs",),
    "relay.published": ("templates",),
    "consume.before_commit": ("jobs",),
    "consume.taken_effect": ("jobs",),
}
