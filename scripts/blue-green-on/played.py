"""Plays the commands that scripts/blue-green --kubernetes prints: with stand-ins for kubectl and grocery, which write down what they are
asked, and kustomize itself, so that what would be applied is built. What a real API server makes of it is not shown here.
"""

import os
import pathlib
import shutil
import subprocess
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[2]
SERVICES = ("fulfillment-service", "picklist-consumer", "order-producer")
IMAGE = "registry.example.com/grocery@sha256:" + "7" * 64

# Each call is written down, and fails if it is the one that is to fail.
STAND_INS = {
    "kubectl": """
[ "$1" != -n ] || shift 2
case "$*" in
"kustomize "*) "$KUSTOMIZE" build "$2" | tee "$PLAY/built-$(basename "$2").yaml"; said="build $(basename "$2")" ;;
apply*) cat >/dev/null; said=apply ;;
delete*"-f -") said="delete $(sed -n 's/^  name: //p' | sort | xargs)" ;;
"get statefulset/"* | "get deployment/"*) echo 3; said=look ;;
"get hpa/"*maxReplicas*) echo 3; said=look ;;
"get hpa/"*) echo 2; said=look ;;
*) said=$* ;;
esac""",
    "grocery": """
said="grocery $1"
[ "$1" != groups ] || printf 'GROUP STATE MEMBERS LAG\\nfulfillment-service-group Stable 3 %s\\npicklist-consumer-group Stable 3 %s\\n' "$LAG" "$LAG"
""",
    "sleep": "exit 0",
}
LOG = """
echo "$said" >>"$PLAY/calls"
[[ $said != $FAILS ]]
"""


class Play:
    """One run of what was printed for a service of an environment."""

    def __init__(self, environment, service, kustomize):
        self.environment, self.service, self.kustomize = environment, service, kustomize
        self.stateful = service == "fulfillment-service"
        command = [ROOT / "scripts/blue-green", "--kubernetes", environment, "--service", service, "--image", IMAGE, "--operator", "operator.properties"]
        self.printed = subprocess.run(command, check=True, capture_output=True, text=True).stdout

    def run(self, fails="", lag=0):
        """Its exit code, the calls in order, and the files that were built, by name."""
        with tempfile.TemporaryDirectory() as folder:
            play = pathlib.Path(folder)
            (play / "bin").mkdir()
            for name, text in STAND_INS.items():
                (play / "bin" / name).write_text(f"#!/usr/bin/env bash\n{text}\n{LOG}")
                (play / "bin" / name).chmod(0o755)
            project = play / "project"
            shutil.copytree(ROOT / "deploy/kubernetes", project / "deploy/kubernetes")
            environment = {**os.environ, "PATH": f"{play / 'bin'}:{os.environ['PATH']}", "PLAY": folder, "KUSTOMIZE": self.kustomize,
                           "FAILS": fails or "-", "LAG": str(lag)}
            done = subprocess.run(["bash"], input=self.printed, cwd=project, env=environment, capture_output=True, text=True)
            calls = (play / "calls").read_text().splitlines()
            built = {path.stem.removeprefix("built-"): path.read_text() for path in play.glob("built-*.yaml")}
            return done.returncode, calls, built

    def faults(self, load, schema_faults):
        """What is wrong with it; `load` reads manifests, `schema_faults` holds them against the schemas of Kubernetes."""
        where, found = f"blue-green of {self.service}", []

        def wants(holds, what):
            if not holds:
                found.append(f"{where}: {what}")

        def in_order(calls, *words):
            rest = iter(calls)
            return all(any(word in call for call in rest) for word in words)

        stateful = self.stateful
        green = "last" if stateful else "beside"
        code, calls, built = self.run()
        wants(code == 0, f"ends with code {code} when every gate opens: {calls}")
        wants(built.keys() == {green, "all"}, f"builds {sorted(built)}")
        for name, text in built.items():
            things = load(text)
            found += [f"{where}, {name}: {fault}" for fault in schema_faults(things)]
            kinds = sorted(thing["kind"] for thing in things)
            wants(kinds == sorted(["ConfigMap", "StatefulSet" if stateful else "Deployment"]), f"{name} applies {kinds}")
            for thing in things:
                suffix = "-green" if name == "beside" else ""
                wants(thing["metadata"]["name"].startswith(self.service + suffix), f"{name} applies {thing['metadata']['name']}")
                wants(thing["metadata"]["namespace"] == f"grocery-{self.environment}", f"{name} is for {thing['metadata']['namespace']}")
                if thing["kind"] != "ConfigMap":
                    pods = thing["spec"]["template"]
                    wants(pods["spec"]["containers"][0]["image"] == IMAGE, f"{name} has another image")
                    selector = thing["spec"]["selector"]["matchLabels"]["app.kubernetes.io/name"]
                    wants(selector == self.service + suffix == pods["metadata"]["labels"]["app.kubernetes.io/name"], f"{name} selects {selector}")
                    partition = thing["spec"].get("updateStrategy", {}).get("rollingUpdate", {}).get("partition")
                    wants(partition == (2 if name == "last" else None), f"{name} rolls from pod {partition} on")
        gates = ["rollout status"] + ["grocery groups"] * (self.service != "order-producer") + ["grocery audit"]
        wants(in_order(calls, f"build {green}", "apply", *gates, "build all", "apply", *gates), f"its order is {calls}")
        self.leaves_no_trace(calls, wants)

        ready = f"rollout status {'statefulset' if stateful else 'deployment'}/{self.service}"
        cases = [("rollout status*" if stateful else "rollout status*-green*", 0, False), ("grocery audit*", 0, False)]
        cases += [("-", 5000, False)] * (self.service != "order-producer") + [(f"{ready} *", 0, not stateful)]
        for fails, lag, others_too in cases:
            code, calls, _ = self.run(fails, lag)
            if self.service == "picklist-consumer" and others_too:
                # Its first look is for the place that was given away: nothing was changed yet.
                wants(code == 1 and "apply" not in calls, f"goes on where no place comes free: {code}, {calls}")
            else:
                wants(code == 1, f"ends with code {code} when {fails} fails and {lag} are not read")
                wants(("build all" in calls) == others_too, f"all of them are changed though green has failed at {fails}: {calls}")
                undone = any("rollout undo" in call for call in calls)
                wants(undone == (stateful or others_too), f"goes back wrongly when {fails} fails: {calls}")
            self.leaves_no_trace(calls, wants)
        return found

    def leaves_no_trace(self, calls, wants):
        """Whatever came of it: no green beside, as many as before, and the autoscaler at work."""
        if self.stateful:
            return
        if "build beside" in calls:
            gone = [call for call in calls if call.startswith(f"delete {self.service}-green ")]
            wants(len(gone) == 1 and gone[0].count("-green") == 2, f"leaves green or its configuration there: {calls}")
        if self.service == "picklist-consumer":
            scaled = [call for call in calls if call.startswith("scale ")]
            wants([call.rpartition("=")[2] for call in scaled] == ["2", "3"], f"leaves another number of pods: {scaled}")
            held = [call for call in calls if call.startswith(("annotate ", "patch "))]
            wanted = {"dev": [], "prod": ["paused=true", "paused-"], "staging": ['"maxReplicas":2', '"maxReplicas":3']}[self.environment]
            wants(len(held) == len(wanted) and all(word in call for word, call in zip(wanted, held)), f"leaves the autoscaler so: {held}")
