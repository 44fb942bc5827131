#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Do the schema and the loader of the policy agree about the corpus?

usage: policy_schema.py LOADER SCHEMA CORPUS EXAMPLES

LOADER FILE... prints a line for each file, "ok" or why it is refused. In
CORPUS/bad the first word of a name says who has to refuse it:
  text-     the loader; it is no JSON as the policy understands it
  schema-   both
  meaning-  the loader; a schema cannot say it

Every meaning- document is in the list of CORPUS/README.md, with the reason, and
nothing else is.
"""
import glob
import json
import os
import re
import subprocess
import sys

import jsonschema


def schema_verdict(validator, path):
    """None when the schema accepts the document, else why not."""
    with open(path, encoding="utf-8") as f:
        document = json.load(f)
    error = next(validator.iter_errors(document), None)
    return None if error is None else error.message


def listed(corpus):
    """The documents CORPUS/README.md says a schema takes and the loader does not."""
    with open(corpus + "/README.md", encoding="utf-8") as f:
        return re.findall(r"^- `([^`]+)`: \S", f.read(), re.M)


def main():
    loader, schema_path, corpus, examples = sys.argv[1:]
    with open(schema_path, encoding="utf-8") as f:
        schema = json.load(f)
    jsonschema.Draft202012Validator.check_schema(schema)
    validator = jsonschema.Draft202012Validator(schema)

    paths = sorted(glob.glob(corpus + "/good/*.json") + glob.glob(corpus + "/bad/*.json")
                   + glob.glob(examples + "/*.json"))
    run = subprocess.run([loader, *paths], check=True, capture_output=True, text=True)
    verdicts = run.stdout.splitlines()
    failed = len(paths) != len(verdicts) or not paths
    if failed:
        print(f"{len(paths)} documents, {len(verdicts)} verdicts of the loader")

    beyond = []
    for path, verdict in zip(paths, verdicts):
        name = os.path.basename(path)
        bad = os.path.basename(os.path.dirname(path)) == "bad"
        if (verdict != "ok") != bad:
            print(f"{name}: the loader says: {verdict}")
            failed = True
        if bad and name.startswith("text-"):
            continue
        error = schema_verdict(validator, path)
        if bad and error is None:
            beyond.append(name.removesuffix(".json"))
        if (error is not None) != (bad and name.startswith("schema-")):
            print(f"{name}: the schema says: {error or 'ok'}")
            failed = True
    for name in sorted(set(beyond) ^ set(listed(corpus))):
        print(f"{name}: {'not in' if name in beyond else 'only in'} the list of README.md")
        failed = True
    print(f"{len(paths)} documents")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
