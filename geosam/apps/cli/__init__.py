"""The command line: every command reads its options, calls one function of the library and reports.

From the ground up: `report` (warnings, notes, the result), `observer` (progress of a run), `wording` (the library's
sentences with options in them), `signals` (Ctrl-C), `options/` (what several commands take), the commands `segment`,
`embed`, `info`, `checkpoints` and `models`, `finetune`, `evaluate`, `preview`, `worker`, and `main`, which ends every
call in one exit code.
"""
