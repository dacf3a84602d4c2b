"""The world: every process of a rehearsal, started and stopped as one."""

import os
import sys
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from pydantic import BaseModel

from rehearsal.aws.client import AwsAdmin
from rehearsal.aws.seed import SeedSettings, seed
from rehearsal.aws.settings import AwsSettings
from rehearsal.controlplane.prometheus import start_prometheus
from rehearsal.controlplane.run import control_plane, kubeconfig_in
from rehearsal.kubelet.network import claim_pod_network
from rehearsal.kubelet.settings import KubeletSettings
from rehearsal.system.garbage import GO_COLLECTS_RARELY
from rehearsal.system.processes import Process, free_port
from rehearsal.system.project import PROJECT_FOLDER
from rehearsal.warm import launch
from rehearsal.warm.launch import SOCKET_VARIABLE
from rehearsal.world.checkout import CLUSTER, STACK, copy_product, write_stack
from rehearsal.world.executables import path_with, pulumi_home, pulumi_version, write_executables
from rehearsal.world.load_balancer_controller import Cluster, load_balancer_controller
from rehearsal.world.settings import FOLDER_VARIABLE, RehearsalSettings
from rehearsal.world.stack_config import GATEWAY_LOG

_HUB = PROJECT_FOLDER / "rehearsal" / "vllm" / "hub.yaml"
_AWS_SETTINGS = "aws.json"
_CONTROL_PLANE = "kubernetes"
_READY_TIMEOUT_SECONDS = 60.0
_COMMAND_POLL_SECONDS = 0.1
# The kernel's limit. With a longer folder name, every command starts cold.
_LONGEST_SOCKET_PATH = 107

WARM_MODULES = (
    "boto3",
    "httpx",
    "kubernetes.client.api.apps_v1_api",
    "kubernetes.client.api.core_v1_api",
    "kubernetes.client.api.custom_objects_api",
    "kubernetes.config",
    "kubernetes.utils.quantity",
    "pulumi",
    "pulumi.automation",
    "pulumi_aws",
    "pulumi_aws.cloudwatch",
    "pulumi_aws.ec2",
    "pulumi_aws.eks",
    "pulumi_aws.iam",
    "pulumi_aws.lb",
    "pulumi_aws.vpc",
    "pulumi_kubernetes",
    "pulumi_kubernetes.apiextensions",
    "pulumi_kubernetes.apps.v1",
    "pulumi_kubernetes.core.v1",
    "pulumi_kubernetes.meta.v1",
    "pulumi_kubernetes.networking.v1",
    "pulumi_kubernetes.policy.v1",
    "pulumi_policy",
    "pydantic.fields",
    "pydantic.main",
    "pydantic.type_adapter",
    "pydantic.types",
    "zoneinfo",
)
"""Third-party modules that programs, policy packs, plugins and scripts import; one process imports them in advance."""

_OWN_MODULES = ("components.resources.blue_green_service", "policies.catalogue", "rollout.commands", "scripts.console")
"""The product's modules that the program, the policy pack and the scripts import, each with all that they import."""


class CommandError(Exception):
    """A command in the world ended with an unexpected exit code. The message contains the end of its log."""


@dataclass(frozen=True, kw_only=True)
class World:
    """A running world."""

    folder: Path
    engine: str
    """The version of the Pulumi CLI."""
    environment: Mapping[str, str]
    aws: AwsAdmin
    kubeconfig: Path
    endpoint_url: str
    load_balancer_controller: str
    """The name of the running controller."""
    processes: Sequence[Process] = ()
    """The processes that run as long as the world does."""
    on_tick: list[Callable[[], None]] = field(default_factory=list)
    """Called about ten times per second while a command runs."""

    @property
    def checkout(self) -> Path:
        """The engineer's checkout."""
        return self.folder / "checkout"

    @property
    def access_log(self) -> Path:
        """The load balancer's access log."""
        return self.folder / "access.jsonl"

    @property
    def requests_log(self) -> Path:
        """The load generator's record of every request."""
        return self.folder / "requests.jsonl"

    @property
    def gateway_log(self) -> Path:
        """The users' requests, as a gateway in front of the service logs them."""
        return self.folder / GATEWAY_LOG

    @property
    def logs(self) -> Path:
        """The folder of all processes' logs."""
        return self.folder / "logs"

    def process(self, name: str) -> Process:
        """Return one of the processes that run as long as the world does."""
        return next(process for process in self.processes if process.name == name)

    def start(self, name: str, command: Sequence[str | Path], *, folder: Path | None = None) -> Process:
        """Start a process in the world's environment, by default in the checkout."""
        return Process.start(
            name, command, log=self.logs / f"{name}.log", env=self.environment, folder=folder or self.checkout
        )

    def run(self, name: str, *command: str, expect: int = 0) -> None:
        """Run a command in the checkout, as an engineer or a CI job does, and wait for its end.

        Raises:
            CommandError: its exit code is not ``expect``.
        """
        process = self.start(name, command)
        try:
            while not process.wait(_COMMAND_POLL_SECONDS):
                for tick in self.on_tick:
                    tick()
        except BaseException:
            process.stop()
            raise
        if process.exit_code != expect:
            raise CommandError(
                f"`{' '.join(command)}` ended with {process.exit_code} instead of {expect}; see {process.log}\n"
                + _tail(process.log)
            )

    def script(self, script: str, *arguments: str, expect: int = 0, name: str | None = None) -> None:
        """Run one of the product's scripts on this world's stack, forked from the warm process if there is one."""
        # As `python -m` does, but only for this one: the checkout is on the search path.
        python = ("env", f"PYTHONPATH={self.checkout}", sys.executable, "-I", "-S", launch.__file__)
        self.run(name or script, *python, "-m", f"scripts.{script}", "--stack", STACK, *arguments, expect=expect)


@contextmanager
def world(
    folder: Path, settings: RehearsalSettings, binaries: Mapping[str, Path], say: Callable[[str], None]
) -> Generator[World]:
    """Run a world for the length of a ``with`` block.

    Args:
        folder: the folder for logs, state and the checkout; new or empty.
        settings: the rehearsal's settings.
        binaries: the control plane's binaries, Prometheus and the Pulumi CLI.
        say: called with a few words on what is being started.

    Raises:
        ExecutableError, ProcessError, OSError: the world cannot be built. Nothing of it is left running.
    """
    engine = pulumi_version(binaries["pulumi"])
    (folder / "backend").mkdir(parents=True)
    write_executables(folder, binaries["pulumi"])
    with ExitStack() as stack:
        aws_settings = AwsSettings(
            api_port=free_port(),
            alb_port=free_port(),
            admin_port=free_port(),
            access_log=folder / "access.jsonl",
            weight_lag_seconds=settings.weight_lag_seconds,
            # The pods wait for 2 s. On a busy machine the controller needs much of the rest to deregister a target.
            deregistration_propagation_seconds=0.5,
            health_check_interval_scale=0.2,
            cloudwatch_period_seconds=1,
        )
        environment = _environment(folder, kubeconfig_in(folder / _CONTROL_PLANE), aws_settings)
        processes: list[Process] = []

        def launch(name: str, command: Sequence[str | Path]) -> Process:
            process = Process.start(
                name, command, log=folder / "logs" / f"{name}.log", env=environment, folder=PROJECT_FOLDER
            )
            stack.callback(process.stop)
            processes.append(process)
            return process

        def start(name: str, *arguments: str | Path) -> Process:
            return launch(name, [sys.executable, "-m", *arguments])

        copy_product(folder / "checkout")
        if SOCKET_VARIABLE in environment:
            own = [word for name in _OWN_MODULES for word in ("--own", name)]
            project = ("--project", folder / "checkout", *own)
            start("warm", "rehearsal.warm", "--socket", _warm_socket(folder), *project, *WARM_MODULES)
        say("AWS account and load balancer")
        aws_process = start("aws", "rehearsal.aws", "--settings", _settings_file(folder / _AWS_SETTINGS, aws_settings))
        say("Kubernetes control plane")
        cluster = stack.enter_context(control_plane(folder / _CONTROL_PLANE, binaries))
        processes += cluster.processes
        aws = stack.enter_context(AwsAdmin(aws_settings.admin_port))
        aws_process.wait_until(aws.healthy, timeout_seconds=_READY_TIMEOUT_SECONDS)
        account = seed(SeedSettings(endpoint_url=environment["AWS_ENDPOINT_URL"], cluster_name=CLUSTER))

        say("GPU nodes, load balancer controller, Prometheus")
        targets = folder / "targets" / "vllm.json"
        targets.parent.mkdir()
        prometheus = start_prometheus(
            folder / "prometheus", binaries["prometheus"], targets_folder=targets.parent, scrape_interval_seconds=1.0
        )
        stack.callback(prometheus.stop)
        processes.append(prometheus.process)
        environment["PROMETHEUS_URL"] = prometheus.url
        kubelet_settings = KubeletSettings(
            cluster_name=CLUSTER,
            pod_network=claim_pod_network(),
            folder=folder,
            targets_file=targets,
            pod_environment={"REHEARSAL_MODEL_HUB": str(_HUB), FOLDER_VARIABLE: str(folder)},
            pod_command=settings.pod_command,
        )
        start(
            "kubelet",
            "rehearsal.kubelet",
            "--settings",
            _settings_file(folder / "kubelet.json", kubelet_settings),
        )
        controller = load_balancer_controller(
            folder / "load-balancer-controller",
            Cluster(
                name=CLUSTER,
                kubeconfig=cluster.kubeconfig,
                aws_url=environment["AWS_ENDPOINT_URL"],
                region=aws_settings.region,
                vpc_id=account.vpc_id,
            ),
        )
        controlling = launch("load-balancer-controller", controller.command)
        stack.callback(controlling.kill)  # It has no state, and the real one is slow to end.
        controlling.wait_until(controller.ready, timeout_seconds=_READY_TIMEOUT_SECONDS)
        endpoint_url = f"http://127.0.0.1:{aws_settings.alb_port}"
        if "autoscaling" in settings.config:
            start("keda", "rehearsal.keda", "--kubeconfig", cluster.kubeconfig)
        write_stack(
            folder / "checkout",
            account,
            aws_settings.region,
            endpoint_url,
            settings,
            prometheus_url=prometheus.url,
        )
        yield World(
            folder=folder,
            engine=engine,
            environment=environment,
            aws=aws,
            kubeconfig=cluster.kubeconfig,
            endpoint_url=endpoint_url,
            load_balancer_controller=controller.name,
            processes=processes,
        )


def _environment(folder: Path, kubeconfig: Path, aws: AwsSettings) -> dict[str, str]:
    """Return a production machine's environment, pointed at this world."""
    environment = {name: os.environ[name] for name in ("HOME", "LANG", "TERM", "TMPDIR") if name in os.environ}
    environment |= {
        "PATH": path_with(folder / "bin"),
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{aws.api_port}",
        "AWS_ACCESS_KEY_ID": "rehearsal",
        "AWS_SECRET_ACCESS_KEY": "rehearsal",
        "AWS_REGION": aws.region,
        "AWS_DEFAULT_REGION": aws.region,
        "AWS_EC2_METADATA_DISABLED": "true",
        "KUBECONFIG": str(kubeconfig),
        "PULUMI_BACKEND_URL": f"file://{folder / 'backend'}",
        "PULUMI_HOME": str(pulumi_home(folder)),
        "PULUMI_SKIP_UPDATE_CHECK": "true",
        "PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION": "true",
        "NO_PROXY": "*",
        **GO_COLLECTS_RARELY,
        FOLDER_VARIABLE: str(folder),
        "PYTHONUNBUFFERED": "1",
    }
    if len(os.fsencode(_warm_socket(folder))) <= _LONGEST_SOCKET_PATH:
        environment[SOCKET_VARIABLE] = str(_warm_socket(folder))
    return environment


def _warm_socket(folder: Path) -> Path:
    return folder / "warm.sock"


def aws_settings_of(folder: Path) -> AwsSettings:
    """Read the AWS account settings of the world in a folder."""
    return AwsSettings.model_validate_json((folder / _AWS_SETTINGS).read_bytes())


def _settings_file(path: Path, settings: BaseModel) -> Path:
    path.write_text(settings.model_dump_json(indent=2))
    return path


def _tail(log: Path, lines: int = 25) -> str:
    return "\n".join(log.read_text(errors="replace").splitlines()[-lines:])
