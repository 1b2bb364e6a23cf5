"""The worker: find it, install it, start it, talk to it, diagnose it.

The order of the modules, from the ground up:

- `locations`, `environment`: programs that may be the worker, and its variables
- `interpreters`: programs that can make an environment
- `process`: one process of the worker, lines in and lines out
- `exit_messages`, `error_messages`: sentences for ended processes and for errors
- `client`: requests, answers and notifications
- `diagnosis`: the state of the worker in words
- `install_steps`, `installation`: an environment of the plugin's own
- `install_dialog`, `diagnosis_dialog`: the windows for both
"""
