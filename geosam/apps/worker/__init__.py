"""The worker: a process that owns models and scenes and answers JSON lines (docs/worker.md).

From the ground up: `protocol` (messages), `pipes` (lines in and out), `machine` (facts for a diagnosis), `parameters`
(checked arguments), `tasks` (requests and their queue), `lanes` (threads that do tasks), `object_messages` and
`resources` (objects, scenes and models of the services), `click_service` and `run_service` (the methods), `server`
(one answer for every request), `process` (threads and their end).
"""
