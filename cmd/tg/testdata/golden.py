"""Write argparse.jsonl: what Python's own argparse makes of arguments for a
command with the flags of tg-create-user. Run it here with Python 3.11."""
import argparse, json, random


class Refused(Exception):
    pass


class Parser(argparse.ArgumentParser):
    def error(self, message):
        raise Refused(message)

    def print_help(self, file=None):
        pass


def parser():
    p = Parser(argument_default=argparse.SUPPRESS)
    p.add_argument("-u", "--api-url")
    p.add_argument("-t", "--token")
    p.add_argument("-w", "--workspace")
    p.add_argument("--username", required=True)
    for name in ("--password", "--name", "--email"):
        p.add_argument(name)
    p.add_argument("--roles", nargs="+")
    p.add_argument("--must-change-password", action="store_true")
    return p


WORDS = [
    "a", "b c", "", "-", "-1", "-1.5", "-.5", "-1e5", "-a b", "--x y", "--",
    "--username", "--user", "--username=bob", "--username=a b", "--u", "--n",
    "--pass", "--pass=x", "--pass=", "--e=m", "--api", "--email",
    "--roles", "--rol", "--roles=a", "--must", "--must=1",
    "-u", "-uVAL", "-u=VAL", "-w", "-wX", "-w=", "-t", "-tok",
    "-h", "-hu", "-huX", "-hx", "-h=", "-h=u", "--help", "--help=1",
    "--zzz", "--zzz=3", "-z", "-zq", "--=x",
]


def outcome(args):
    try:
        values = vars(parser().parse_args(args))
    except Refused as e:
        return {"error": str(e)}
    except SystemExit:
        return {"help": True}
    text = lambda v: "true" if v is True else v
    return {"values": {k.replace("_", "-"): v if isinstance(v, list) else [text(v)] for k, v in values.items()}}


random.seed(1)
seen = {}
while len(seen) < 500:
    args = [random.choice(WORDS) for _ in range(random.randint(0, 5))]
    if random.random() < 0.8:
        args = ["--username", "bob"] + args
    result = outcome(args)
    # Most random arguments are errors; keep a tenth of those.
    if "values" in result or random.random() < 0.1:
        seen[json.dumps(args)] = result
with open("argparse.jsonl", "w") as f:
    for args, result in seen.items():
        f.write(json.dumps({"args": json.loads(args), **result}) + "\n")
