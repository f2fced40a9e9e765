"""Section api: the HTTP endpoint."""

from oslo_config import cfg

OPTS = [
    cfg.StrOpt("listen", default="127.0.0.1", help="Address to listen on."),
    cfg.PortOpt("port", default=8774, help="Port to listen on."),
    cfg.IntOpt("workers", default=2, min=1, help="Worker processes of 'tenter api'; 'tenter up' has one."),
    cfg.FloatOpt("health_timeout", default=2.0, min=0.1,
                 help="Seconds that /healthz and /readyz give each database to answer."),
    cfg.StrOpt("metrics", default="admin", choices=["admin", "public", "off"],
               help="Who may read /metrics, which names hosts and cells: administrators with a token, everybody who "
                    "reaches the port, or nobody."),
    cfg.IntOpt("threads", default=12, min=1, help="Threads that answer requests, in each worker process."),
    cfg.IntOpt("client_timeout", default=60, min=1,
               help="Seconds after which a client that stalls within a request or an answer is dropped."),
    cfg.StrOpt("public_url", help="Base URL that clients see, if it differs from the one they ask (proxy)."),
    cfg.IntOpt("max_limit", default=1000, min=1, help="Most items in one page of a list."),
    cfg.IntOpt("max_body_bytes", default=1 << 20, min=1024,
               help="Largest JSON body in bytes; image uploads are not limited by it."),
    cfg.IntOpt("max_instances_per_request", default=1000, min=1, help="Largest min_count/max_count of one create."),
    cfg.MultiStrOpt("extensions", default=[],
                    help="Name of an API extension that is served; give one line for each, in any number of files."),
]  # fmt: skip
