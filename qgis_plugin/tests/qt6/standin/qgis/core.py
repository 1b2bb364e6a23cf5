"""Stands in for `qgis.core`."""

from PyQt6.QtNetwork import QNetworkProxy

from qgis.anything import names

__getattr__ = names(__name__)


class QgsNetworkAccessManager:
    """A QGIS in which no proxy is set; the client asks for it when it starts a worker."""

    @classmethod
    def instance(cls):
        return cls()

    def fallbackProxy(self):
        return QNetworkProxy(QNetworkProxy.ProxyType.DefaultProxy)

    def excludeList(self):
        return []

    def noProxyList(self):
        return []
