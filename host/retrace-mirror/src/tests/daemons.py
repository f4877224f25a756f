"""Servers of the tests, on a free port of 127.0.0.1, which is written to PORTFILE once they listen.

daemons.py ftp PORTFILE ROOT [--pem FILE] [--old]: anonymous, and the user `me` with the password `s3cret`. --pem: TLS for
commands and data, or nothing; --old: without MLSD, MDTM and SIZE.
daemons.py http PORTFILE ROOT: as fast as the kernel sends.
daemons.py rsync PORTFILE ROOT: module `mirror`, module `closed` for that user, and module `old`, which refuses an option.
One process a connection, as inetd(8).
"""
import os
import socket
import subprocess
import sys


def announce(port_file, port):
    with open(port_file + ".new", "w") as file:
        file.write(str(port))
    os.rename(port_file + ".new", port_file)


def ftp(port_file, root, *options):
    import logging

    from pyftpdlib.authorizers import DummyAuthorizer
    from pyftpdlib.handlers import FTPHandler, TLS_FTPHandler
    from pyftpdlib.servers import FTPServer

    logging.basicConfig(level=logging.ERROR)
    authorizer = DummyAuthorizer()
    authorizer.add_anonymous(root)
    authorizer.add_user("me", "s3cret", os.path.join(root, ".."))
    base = TLS_FTPHandler if "--pem" in options else FTPHandler

    class Handler(base):
        pass

    Handler.authorizer = authorizer
    Handler.auth_failed_timeout = 0
    if "--pem" in options:
        Handler.certfile = options[options.index("--pem") + 1]
        Handler.tls_control_required = Handler.tls_data_required = True
    if "--old" in options:
        Handler.proto_cmds = {k: v for k, v in base.proto_cmds.items() if k not in ("MLSD", "MDTM", "SIZE")}
    server = FTPServer(("127.0.0.1", 0), Handler)
    announce(port_file, server.address[1])
    server.serve_forever()


def http(port_file, root):
    import functools
    import http.server

    class Handler(http.server.SimpleHTTPRequestHandler):
        def copyfile(self, source, outputfile):
            outputfile.flush()
            while os.sendfile(self.connection.fileno(), source.fileno(), None, 1 << 24):
                pass

        def log_message(self, *args):
            pass

    handler = functools.partial(Handler, directory=root)
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    announce(port_file, server.server_address[1])
    server.serve_forever()


def rsync(port_file, root):
    secrets = port_file + ".secrets"
    with open(secrets, "w") as file:
        file.write("me:s3cret\n")
    os.chmod(secrets, 0o600)
    config = port_file + ".conf"
    with open(config, "w") as file:
        file.write(f"use chroot = no\nread only = yes\nuid = {os.getuid()}\ngid = {os.getgid()}\nmotd file = {secrets}\n")
        file.write(f"[mirror]\npath = {root}\n[closed]\npath = {root}\nauth users = me\nsecrets file = {secrets}\n")
        file.write(f"[old]\npath = {root}\nrefuse options = checksum-choice\n")
    listener = socket.create_server(("127.0.0.1", 0))
    announce(port_file, listener.getsockname()[1])
    running = []
    while True:
        connection, _ = listener.accept()
        command = ["rsync", "--daemon", "--config=" + config]
        running.append(subprocess.Popen(command, stdin=connection, stdout=connection, stderr=subprocess.DEVNULL))
        connection.close()
        running = [process for process in running if process.poll() is None]


{"ftp": ftp, "http": http, "rsync": rsync}[sys.argv[1]](*sys.argv[2:])
