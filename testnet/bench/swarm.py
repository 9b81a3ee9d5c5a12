# One party of a swarm: swarm.py seed|fetch IP:PORT TORRENT
# Says "ready", takes the directory on standard input, and says "whole N" (N payload bytes
# came twice) when everything is there. It stays in the swarm until it is ended.
import sys
import libtorrent as lt

role, listen, torrent = sys.argv[1:]
session = lt.session({
    "listen_interfaces": listen,
    "enable_dht": False,
    "enable_lsd": False,
    "enable_upnp": False,
    "enable_natpmp": False,
    "enable_outgoing_utp": False,
    "enable_incoming_utp": False,
    "allow_multiple_connections_per_ip": True,
    "alert_mask": lt.alert.category_t.status_notification | lt.alert.category_t.error_notification,
})
params = lt.add_torrent_params()
params.ti = lt.torrent_info(torrent)
print("ready", flush=True)
params.save_path = sys.stdin.readline().rstrip("\n")
params.flags &= ~lt.torrent_flags.auto_managed
params.flags &= ~lt.torrent_flags.paused
if role == "seed":
    params.flags |= lt.torrent_flags.seed_mode
handle = session.add_torrent(params)
while True:
    session.wait_for_alert(1000)
    for alert in session.pop_alerts():
        if isinstance(alert, lt.torrent_finished_alert):
            print("whole", handle.status().total_redundant_bytes, flush=True)
        elif isinstance(alert, (lt.torrent_error_alert, lt.file_error_alert)):
            print(alert.message(), file=sys.stderr, flush=True)
            sys.exit(1)
