"""The command line: every command reads its options, calls one function of the library and reports.

From the ground up: `wording` (the library's sentences with options in them), `report` (warnings, notes, the result),
`outcome` (errors as exit codes), `observer` (progress of a run), `signals` (Ctrl-C), `options/` (what several commands
take), the commands `segment`, `embed`, `info`, `checkpoints` and `models`, `finetune`, `evaluate`, `preview`, `worker`,
and `main`, which starts and ends every call.
"""
