"""Stands in for the internet, in a network of its own: echoes on TCP and UDP, and a resolver.

Waits for a line on standard input, by when its cable is plugged in; ends with its standard input. What comes over UDP is
written to standard error's place, the file that it is told.
"""

import os
import socket
import socketserver
import struct
import subprocess
import sys
import threading

NAMES = {
    "allowed.test": ["198.51.100.10"],
    "other.test": ["198.51.100.20"],
    "deep.wild.test": ["198.51.100.30"],
    "port.test": ["198.51.100.40"],
    "sneaky.test": ["169.254.169.254"],
    "host.test": ["203.0.113.1"],
    "many.test": [f"198.51.100.{last}" for last in range(100, 180)],
}
ADDRESSES = ["198.51.100.10/24", "169.254.169.254/32", "198.51.100.20/24", "198.51.100.30/24", "198.51.100.40/24"]
RESOLVER = "198.51.100.53"


def resolve(message, over_tcp):
    """The answer to a question, cut when it is too long for a datagram."""
    (number,) = struct.unpack("!H", message[:2])
    labels, at = [], 12
    while message[at]:
        labels.append(message[at + 1 : at + 1 + message[at]].decode())
        at += 1 + message[at]
    question = message[12 : at + 5]
    kind, _ = struct.unpack("!HH", message[at + 1 : at + 5])
    found = NAMES.get(".".join(labels).lower())
    addresses = found if found and kind == 1 else []
    records = b"".join(
        struct.pack("!HHHIH", 0xC00C, 1, 1, 1, 4) + socket.inet_aton(address) for address in addresses
    )
    count, flags = len(addresses), 0x8180 if found else 0x8183
    if not over_tcp and 1000 < len(records):
        records, count, flags = b"", 0, flags | 0x0200
    return struct.pack("!HHHHHH", number, flags, 1, count, 0, 0) + question + records


class Echo(socketserver.BaseRequestHandler):
    def handle(self):
        while piece := self.request.recv(1024):
            self.request.sendall(piece)


class Tcp(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True


class OverTcp(socketserver.StreamRequestHandler):
    def handle(self):
        while head := self.rfile.read(2):
            answer = resolve(self.rfile.read(struct.unpack("!H", head)[0]), True)
            self.wfile.write(struct.pack("!H", len(answer)) + answer)


class OverUdp(socketserver.BaseRequestHandler):
    def handle(self):
        message, reply = self.request
        reply.sendto(resolve(message, False), self.client_address)


class Datagrams(socketserver.BaseRequestHandler):
    def handle(self):
        text, reply = self.request
        with open(sys.argv[1], "ab") as heard:
            heard.write(text + b"\n")
        reply.sendto(text, self.client_address)


def main():
    sys.stdin.readline()
    for words in [
        "link set lo up",
        "addr add 203.0.113.2/24 dev net1",
        "link set net1 up",
        f"addr add {RESOLVER}/24 dev lo",
        *[f"addr add {address} dev lo" for address in ADDRESSES],
    ]:
        subprocess.run(["ip", *words.split()], check=True)
    servers = [Tcp(("0.0.0.0", port), Echo) for port in (80, 443, 5000)]
    servers += [Tcp((RESOLVER, 53), OverTcp), socketserver.ThreadingUDPServer((RESOLVER, 53), OverUdp)]
    servers += [Tcp(("198.51.100.10", 53), Echo)]
    servers += [socketserver.ThreadingUDPServer((f"198.51.100.{last}", 9999), Datagrams) for last in (10, 20)]
    for server in servers:
        threading.Thread(target=server.serve_forever, daemon=True).start()
    print("ready", flush=True)
    sys.stdin.read()
    os._exit(0)


main()
