"""A task in the list of QGIS for work that goes on elsewhere."""

import pytest
from qgis.core import QgsApplication, QgsTask
from qgis.PyQt.QtCore import QThreadPool

from geosam_qgis.jobs.progress_task import ProgressTask


@pytest.fixture
def task(qgis_app, wait):
    """A task that runs, and is over when the test ends."""
    task = ProgressTask("segment ortho")
    task.statuses = []
    task.statusChanged.connect(task.statuses.append)
    QgsApplication.taskManager().addTask(task)
    wait(lambda: QgsTask.TaskStatus.Running in task.statuses)
    yield task
    if QgsApplication.taskManager().countActiveTasks():
        task.end(succeeded=False)
    wait(lambda: not QgsApplication.taskManager().countActiveTasks())


def test_the_task_completes_when_its_work_has_succeeded(task, wait):
    task.end(succeeded=True)
    wait(lambda: QgsTask.TaskStatus.Complete in task.statuses)


def test_the_task_is_terminated_when_its_work_has_failed(task, wait):
    task.end(succeeded=False)
    wait(lambda: QgsTask.TaskStatus.Terminated in task.statuses)


def test_cancelling_is_reported_once_and_ends_the_task(task, wait):
    reported = []
    task.cancelled.connect(lambda: reported.append(True))
    task.cancel()
    wait(lambda: QgsTask.TaskStatus.Terminated in task.statuses)
    assert reported == [True]


def test_a_waiting_task_leaves_its_thread_to_the_map(qgis_app, wait):
    pool, drawn = QThreadPool.globalInstance(), []
    threads = pool.maxThreadCount()
    pool.setMaxThreadCount(1)
    try:
        task = ProgressTask("segment ortho")
        QgsApplication.taskManager().addTask(task)
        wait(lambda: task.status() == QgsTask.TaskStatus.Running)
        pool.start(lambda: drawn.append("a map"))
        wait(lambda: drawn)
        task.end(succeeded=True)
        wait(lambda: not QgsApplication.taskManager().countActiveTasks())
    finally:
        pool.setMaxThreadCount(threads)
