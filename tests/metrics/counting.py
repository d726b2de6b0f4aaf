"""A process that counts what its standard input says, one `verb arguments` a line; it answers `ok`.

Started by the tests of this room as a stand-alone program.
"""

from __future__ import annotations

import os
import sys


def main() -> None:
    os.environ["DJANGO_SETTINGS_MODULE"] = "pulsecloud.settings"
    from tenants import metrics  # needs the settings and no application

    print("ready", flush=True)
    for line in sys.stdin:
        verb, *arguments = line.split()
        if verb == "signed_up":
            metrics.signed_up()
        elif verb == "provisioned":
            metrics.provisioned(arguments[0] == "ok")
        elif verb == "transitioned":
            metrics.transitioned(*arguments)
        elif verb == "answered":
            metrics.answered(arguments[0], int(arguments[1]), float(arguments[2]))
        elif verb == "flood":
            while True:
                metrics.signed_up()
                print("ok", flush=True)
        print("ok", flush=True)


if __name__ == "__main__":
    main()
