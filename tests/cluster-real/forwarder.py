# Carries Ethernet frames between two network devices, both ways, as a bad line would: each waits for a while, some overtake others, some are lost.
#   python3 forwarder.py DEVICE DEVICE DELAY_MS JITTER_MS LOSS_PERCENT       prints "ready" once it carries; ends by SIGKILL
#   python3 forwarder.py --offload-off DEVICE
# For kernels without netem. Devices must deliver what goes over the wire: checksums in place, no frame longer than the wire takes, so offloading is switched off first.
import array
import fcntl
import heapq
import random
import select
import socket
import struct
import sys
import time

SIOCETHTOOL = 0x8946
# ETHTOOL_STXCSUM, ETHTOOL_SSG, ETHTOOL_STSO, ETHTOOL_SGSO, ETHTOOL_SGRO
OFFLOADS = (0x17, 0x19, 0x1F, 0x24, 0x2C)
ETH_P_ALL = 3
PACKET_OUTGOING = 4
# About a second of a fast line; what comes beyond is lost, as in a router.
QUEUE_MAX = 50_000


def offload_off(name):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        for command in OFFLOADS:
            buffer = array.array("B", struct.pack("II", command, 0))
            request = struct.pack("16sP", name.encode(), buffer.buffer_info()[0])
            try:
                fcntl.ioctl(control, SIOCETHTOOL, request)
            except OSError:
                pass  # a device without that offload


def open_device(name):
    device = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL))
    device.bind((name, 0))
    device.setblocking(False)
    return device


def main():
    names = sys.argv[1:3]
    delay, jitter, loss = float(sys.argv[3]) / 1000, float(sys.argv[4]) / 1000, float(sys.argv[5]) / 100
    a, b = (open_device(name) for name in names)
    other = {a: b, b: a}
    waiting = []
    number = 0
    print("ready", flush=True)
    while True:
        now = time.monotonic()
        timeout = max(0, waiting[0][0] - now) if waiting else None
        for device in select.select([a, b], [], [], timeout)[0]:
            for _ in range(64):
                try:
                    frame, address = device.recvfrom(65536)
                except BlockingIOError:
                    break
                if address[2] == PACKET_OUTGOING or len(waiting) >= QUEUE_MAX or random.random() < loss:
                    continue
                number += 1
                heapq.heappush(waiting, (time.monotonic() + delay + random.random() * jitter, number, other[device], frame))
        now = time.monotonic()
        while waiting and waiting[0][0] <= now:
            _, _, device, frame = heapq.heappop(waiting)
            try:
                device.send(frame)
            except OSError:
                pass  # lost


if len(sys.argv) == 3 and sys.argv[1] == "--offload-off":
    offload_off(sys.argv[2])
else:
    main()
