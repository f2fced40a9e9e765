"""Section DEFAULT: which state, which drivers."""

import os
import socket
from pathlib import Path

from oslo_config import cfg


def default_state_dir() -> str:
    """Return where ``tenter up`` keeps its state: /var/lib/tenter for root, else below XDG_STATE_HOME."""
    if os.geteuid() == 0:
        return "/var/lib/tenter"
    base = os.environ.get("XDG_STATE_HOME") or str(Path.home() / ".local" / "state")
    return str(Path(base) / "tenter")


OPTS = [
    cfg.StrOpt("state_dir", default=default_state_dir(), sample_default="/var/lib/tenter",
               help="Directory that holds all state: databases, images, disks, credentials."),
    cfg.StrOpt("shared_dir", sample_default="state_dir",
               help="Directory that all processes of a cloud on this machine share, if each has a state_dir of its "
                    "own: the SQLite databases, and the state of the image, network and identity drivers."),
    cfg.FloatOpt("graceful_timeout", default=10.0, min=0,
                 help="Seconds that a process which is told to stop gives to what it does; the rest it hands over."),
    cfg.StrOpt("host", default=socket.gethostname(), sample_default="this machine's name",
               help="Name of this host as the API shows it."),
    cfg.StrOpt("virt_driver", default="libvirt", help="Name of the virt driver (entry point group tenter.virt)."),
    cfg.StrOpt("network_driver", default="local",
               help="Name of the network driver (entry point group tenter.network)."),
    cfg.StrOpt("image_driver", default="local", help="Name of the image driver (entry point group tenter.image)."),
    cfg.StrOpt("volume_driver", default="",
               help="Name of the volume driver (entry point group tenter.volume). Empty: none."),
    cfg.StrOpt("identity_driver", default="local",
               help="Name of the identity driver (entry point group tenter.identity)."),
]  # fmt: skip
