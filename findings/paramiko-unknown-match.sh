#!/usr/bin/env bash
# paramiko 5.1.0: SSHConfig takes a `Match` criterion that it does not know for fulfilled.
#
# ssh_config(5) of today has `localnetwork`, `tagged`, `version`, `command` and `sessiontype`. A block under one of them
# holds for some hosts or moments only; an ssh that does not know the word refuses the file. paramiko gives the block's
# settings to every host, and says nothing: a client goes to another port, as another user. A criterion that it knows
# and that is not fulfilled is passed by, as it should be. Who needs the user's own settings asks `ssh -G HOST`.
#
# Seen with Python 3.11: the five unknown criteria give port 2222, the two known ones none.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check paramiko==5.1.0

"$folder/venv/bin/python" - >"$folder/seen" <<'PYTHON'
import paramiko

criteria = ["localnetwork 192.0.2.0/24", "tagged lab", "version OpenSSH_10*", "sessiontype shell", "command true"]
for criterion in [*criteria, "host elsewhere", "user nobody-of-that-name"]:
    config = paramiko.SSHConfig.from_text(f"Match {criterion}\n    Port 2222\n")
    print(criterion, "->", config.lookup("box").get("port", "no port"))
PYTHON

cat "$folder/seen"
diff - "$folder/seen" <<'EXPECTED'
localnetwork 192.0.2.0/24 -> 2222
tagged lab -> 2222
version OpenSSH_10* -> 2222
sessiontype shell -> 2222
command true -> 2222
host elsewhere -> no port
user nobody-of-that-name -> no port
EXPECTED
