"""Run the peer's own run_mlm.py and `mlmfast run-mlm` on the same command lines, and compare.

    python tests/tools/run_beside_run_mlm.py PATH_TO/run_mlm.py [names of cases]

The script is `examples/pytorch/language-modeling/run_mlm.py` of transformers, of the version that
is installed (4.57 was run); it is theirs, so it is not in this repository. Where the package
`evaluate` or its metric is missing, a stand-in computes the accuracy.

Each command line trains or measures a tiny model on CPU in fp32, once by each program. Compared
are the exit status, the files, the keys of the result files, samples, steps, epochs and learning
rates, and the losses but for chance. What docs/run_mlm.md lists is allowed. Exit status 1 where
anything else differs. Takes some minutes.
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "support"))

from beside_run_mlm import make_inputs, preload, run_case
from left_by_run_mlm import compare
from run_mlm_cases import CASES


def main(arguments: list[str]) -> int:
    """Run the cases by both programs and print what differs."""
    if not arguments:
        print("skipped: name transformers' examples/pytorch/language-modeling/run_mlm.py")
        return 0
    script = Path(arguments[0])
    if not script.is_file():
        print(f"There is no file {arguments[0]!r}.", file=sys.stderr)
        return 2
    wanted = arguments[1:] or list(CASES)
    if unknown := set(wanted) - set(CASES):
        print(f"No such case: {', '.join(sorted(unknown))}.", file=sys.stderr)
        return 2
    resumes = "get_last_checkpoint" in script.read_text(encoding="utf-8")
    different = 0
    with tempfile.TemporaryDirectory() as name:
        home = Path(name)
        os.environ |= {"XDG_CACHE_HOME": f"{home}/cache", "HF_HOME": f"{home}/hub"}
        os.environ |= {"HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"}
        preload(home)
        make_inputs(home)
        for case in wanted:
            if CASES[case].resumes_by_itself and not resumes:
                print(f"{case}: skipped, this version of the script looks for no checkpoint")
                continue
            theirs, ours = (run_case(home, case, program) for program in (script, None))
            differences = compare(theirs, ours)
            listed = CASES[case].listed
            different += bool(differences) and listed is None
            differs = "DIFFERS" if listed is None else f"differs as listed, {listed}"
            print(f"{case}: {theirs.summary()}; {differs if differences else 'the same'}")
            if theirs.status and ours.status:
                print(f"    ours {ours.summary()}")
            for difference in differences:
                print(f"    {difference}")
            sys.stdout.flush()
            shutil.rmtree(home / "runs")
    print(f"{len(wanted)} command lines, {different} with differences")
    return int(different > 0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
