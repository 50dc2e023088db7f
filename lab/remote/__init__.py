"""Another host, reached by SSH, on which the stages run that need a compiler or QEMU.

    here                                               there
    RemoteBackend, RemoteHost -- Client -- SSH connection -- Peer -- build, image, QEMU

The other side is a copy of the same lab (`deploy`), and `peer` is the one process that works for a connection: it ends
with it, and everything that it started ends with it; its parent, the `watchdog`, sees to that if it cannot itself.
`docs/ssh.md` tells the rest.
"""
