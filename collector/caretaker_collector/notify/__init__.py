"""Telling people: takes what the rules want told out of the state file and sends it, each channel by itself.

tellings (waiting) -> sender -> queue of one channel -> adapter -> sent | waiting again, later | failed

sender       a task beside the pipeline: one worker a channel, at least once, retry with backoff
outbox       the rows: what is due, what came of it
channels     the registry: which adapter is for which kind of channel
by_file, by_apprise, by_webhook, by_ticket, by_ticket_mail   the adapters, one file each
desk, desk_presets, ticket_book                              the desks that tickets go to
http_call    one bounded HTTP request, and what its failure means
wording      one line, bounded, without control characters
heartbeat, systemd   that Caretaker itself is alive, told to others
"""
