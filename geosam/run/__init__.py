"""Runs: a scene is cut into tasks, which any executor computes; their results become one file. Runs are resumable.

From the ground up: `executor` is the contract of jobs and executors, `local` has the executors of this machine;
`jobs` are the computations for a window; `run_log` records progress, failures and warnings; `options` and `summaries`
are what a run takes and gives; `journal` keeps finished tasks of an unfinished run; `spool` keeps finished objects;
`collectors` turn results of tasks into objects, `rows` objects into rows of the file; `embedding` fills a store,
`pipeline` makes a file. For the functions of the door: `arguments` sorts options, `progress_bar` draws, `inputs`
opens what callers pass, `result` shows what they get.
"""
