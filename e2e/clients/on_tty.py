"""Run a command on a terminal of its own and answer what it asks there.

    on_tty.py TRANSCRIPT [PROMPT ANSWER]... -- COMMAND...

Standard output and error stay where they are, so that a test can tell what goes to
the terminal; with STDOUT=terminal in the environment, standard output goes there
too. An answer is typed once its prompt was seen and, if it is to a question about
a password, the terminal does not echo; "^C" presses Ctrl-C. What the terminal showed
is in the file TRANSCRIPT. The exit code is the command's, as a shell counts it.
"""

import fcntl
import os
import pty
import sys
import termios
import time


def child(terminal, command):
    os.setsid()
    fcntl.ioctl(terminal, termios.TIOCSCTTY, 0)
    os.dup2(terminal, 0)
    if os.environ.get("STDOUT") == "terminal":
        os.dup2(terminal, 1)
    os.execv(command[0], command)


def await_silence(screen):
    """Wait until what is typed is not shown. Nothing tells when, so it asks."""
    while termios.tcgetattr(screen)[3] & termios.ECHO:
        time.sleep(0.001)


def converse(screen, dialogue):
    """Answer prompts in order, and return all that was shown."""
    shown, seen = b"", 0
    while True:
        try:
            read = os.read(screen, 4096)
        except OSError:  # Linux says so when the command has ended
            return shown
        if not read:
            return shown
        shown += read
        while dialogue and dialogue[0][0] in shown[seen:]:
            prompt, answer = dialogue.pop(0)
            seen = shown.index(prompt, seen) + len(prompt)
            if b"assword" in prompt:
                await_silence(screen)
            os.write(screen, b"\x03" if answer == b"^C" else answer + b"\n")


def main():
    end = sys.argv.index("--")
    words = [os.fsencode(word) for word in sys.argv[2:end]]
    screen, terminal = pty.openpty()
    pid = os.fork()
    if pid == 0:
        os.close(screen)
        child(terminal, sys.argv[end + 1:])
    os.close(terminal)
    shown = converse(screen, list(zip(words[::2], words[1::2])))
    with open(sys.argv[1], "wb") as transcript:
        transcript.write(shown)
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    return code if code >= 0 else 128 - code


sys.exit(main())
