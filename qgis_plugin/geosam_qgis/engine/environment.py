"""Environment variables of the worker: those of the user, without those that QGIS has set for itself.

QGIS points Python, GDAL, PROJ and the loader of shared libraries to its own files. The worker has files of its own;
with those of QGIS it fails, or computes wrong coordinates.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from qgis.core import QgsNetworkAccessManager
from qgis.PyQt.QtCore import QProcessEnvironment, QUrl
from qgis.PyQt.QtNetwork import QNetworkProxy

#: Variables that a child process never gets.
DROPPED = (
    "PYTHONHOME",
    "PYTHONPATH",
    "PYTHONEXECUTABLE",
    "PYTHONNOUSERSITE",
    "PYTHONSTARTUP",
    "PYTHONPLATLIBDIR",
    "__PYVENV_LAUNCHER__",
    "VIRTUAL_ENV",
    "GDAL_DATA",
    "GDAL_DRIVER_PATH",
    "GDAL_PAM_PROXY_DIR",
    "PROJ_LIB",
    "PROJ_DATA",
    "QT_PLUGIN_PATH",
    "QT_QPA_PLATFORM_PLUGIN_PATH",
    "LD_LIBRARY_PATH",
    "LD_PRELOAD",
    "DYLD_LIBRARY_PATH",
    "DYLD_FRAMEWORK_PATH",
    "DYLD_INSERT_LIBRARIES",
    "DYLD_FALLBACK_LIBRARY_PATH",
    "DYLD_VERSIONED_LIBRARY_PATH",
)
#: Variables that a child process always gets: no buffered answers, UTF-8 in every locale, and no imports from the
#: folder in which QGIS was started.
ADDED = {"PYTHONUNBUFFERED": "1", "PYTHONUTF8": "1", "PYTHONSAFEPATH": "1"}

#: Variables that make an installer put packages elsewhere.
_MISLEADING = ("PIP_USER", "PIP_TARGET", "PIP_PREFIX", "PIP_ROOT", "PIP_REQUIRE_VIRTUALENV", "UV_SYSTEM_PYTHON")
_PROXY_SCHEMES = {
    QNetworkProxy.ProxyType.HttpProxy: "http",
    QNetworkProxy.ProxyType.HttpCachingProxy: "http",
    QNetworkProxy.ProxyType.Socks5Proxy: "socks5h",
}


def worker_environment(system: QProcessEnvironment | None = None) -> QProcessEnvironment:
    """Return the variables of the worker.

    Args:
        system: Variables of QGIS; by default those of this process.
    """
    environment = QProcessEnvironment(system or QProcessEnvironment.systemEnvironment())
    for name in dropped(environment):
        environment.remove(name)
    for name, value in {**ADDED, **proxy_variables()}.items():  # the proxy of QGIS wins: the user has set it here
        environment.insert(name, value)
    home = _home_of_qgis(environment.value("OSGEO4W_ROOT", ""), Path(sys.base_prefix))
    if home is not None:
        environment.insert("PATH", _without(home, environment.value("PATH", "")))
    return environment


def installer_environment(system: QProcessEnvironment | None = None) -> QProcessEnvironment:
    """Return the variables of pip and uv; `system` as in :func:`worker_environment`."""
    environment = worker_environment(system)
    for name in _MISLEADING:
        environment.remove(name)
    return environment


def dropped(system: QProcessEnvironment) -> list[str]:
    """Return the names of the variables of QGIS that a child process does not get."""
    return [name for name in DROPPED if system.contains(name)]


def proxy_variables() -> dict[str, str]:
    """Return the proxy of QGIS as variables that command line programs read; empty if QGIS has none."""
    network = QgsNetworkAccessManager.instance()
    proxy = network.fallbackProxy()
    scheme = _PROXY_SCHEMES.get(proxy.type())
    if scheme is None or not proxy.hostName():
        return {}
    url = QUrl()
    url.setScheme(scheme)
    url.setHost(proxy.hostName())
    url.setPort(proxy.port() or -1)
    if proxy.user():
        url.setUserName(proxy.user())
        url.setPassword(proxy.password())
    address = bytes(url.toEncoded()).decode()
    excluded = [QUrl(start).host() or start for start in (*network.excludeList(), *network.noProxyList())]
    excluded += filter(None, QProcessEnvironment.systemEnvironment().value("NO_PROXY", "").split(","))
    values = {
        "HTTP_PROXY": address,
        "HTTPS_PROXY": address,
        "NO_PROXY": ",".join(["localhost", "127.0.0.1", *excluded]),
    }
    return {**values, **{name.lower(): value for name, value in values.items()}}  # curl reads `http_proxy` only


def _home_of_qgis(root: str, prefix: Path) -> Path | None:
    """Return the folder of a self-contained QGIS, as on Windows and macOS; None on Linux."""
    if root:
        return Path(root)
    return next((folder for folder in prefix.parents if folder.suffix == ".app"), None)


def _without(home: Path, path: str) -> str:
    """Return PATH without the folders of QGIS, whose libraries the worker would load instead of its own."""
    folders = (folder for folder in path.split(os.pathsep) if folder)
    return os.pathsep.join(folder for folder in folders if home not in (Path(folder), *Path(folder).parents))
