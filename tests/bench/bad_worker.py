"""A worker whose pairs die in every way: `python -m tests.bench.bad_worker`, started by tests."""

import json
import os
import signal
import sys
import time

from tests.bench.scouting import Scouted, tell_done, tell_trying

HANG_S = 1.0


def main():
    print("a package says hello @@ in the middle of a line")
    for key, number in json.loads(sys.stdin.readline())["wanted"]:
        tell_trying(key, number, HANG_S)
        if key == "crashes" and number == 2:
            os.kill(os.getpid(), signal.SIGSEGV)
        if key == "raises":
            raise ValueError("the words of the error")
        if key == "hangs" and number == 2:
            time.sleep(60)
        if key == "forgets":
            continue
        tell_done(key, number, Scouted("timed", "", 0.25, 1.5))


if __name__ == "__main__":
    main()
