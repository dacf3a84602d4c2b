"""Cases: exposure."""

from typing import Any, Final

from tests.policies.case import Safe, Unsafe
from tests.policies.edits import GONE
from tests.policies.stacks import Declared

_GREEN_ARN: Final = (
    "arn:aws:elasticloadbalancing:us-east-1:123456789012:targetgroup/chat-green-0a1b2c3/0123456789abcdef"
)
_PATHS: Final = "conditions[0].pathPattern.values"
_SERVICE: Final = {"vllm-blue-green/service": "chat"}
_TO_HTTPS: Final = [{"type": "redirect", "redirect": {"protocol": "HTTPS", "statusCode": "HTTP_301"}}]
_TO_GREEN: Final = [{"type": "forward", "targetGroupArn": _GREEN_ARN}]
_TO_ANOTHER: Final = [{"type": "forward", "targetGroupArn": _GREEN_ARN.replace("chat-green", "web")}]
_EBS: Final = "blockDeviceMappings[0].ebs"


def _ingress(**props: Any) -> Declared:
    return Declared(
        type="aws:vpc/securityGroupIngressRule:SecurityGroupIngressRule",
        name="extra",
        props={"securityGroupId": "sg-0c", "ipProtocol": "tcp", **props},
    )


def _classic_rule(**props: Any) -> Declared:
    return Declared(
        type="aws:ec2/securityGroupRule:SecurityGroupRule",
        name="extra",
        props={"securityGroupId": "sg-0c", "type": "ingress", "protocol": "tcp", "fromPort": 22, "toPort": 22, **props},
    )


def _group(*ingress: dict[str, Any], type_: str = "aws:ec2/securityGroup:SecurityGroup") -> Declared:
    return Declared(type=type_, name="extra", props={"vpcId": "vpc-0a", "ingress": list(ingress)})


def _listener(name: str, **props: Any) -> Declared:
    return Declared(
        type="aws:lb/listener:Listener",
        name=name,
        props={"loadBalancerArn": "arn:LoadBalancer:chat", "port": 8080, "protocol": "HTTP", **props},
        protect=True,
    )


def _balancer(**props: Any) -> Declared:
    return Declared(
        type="aws:lb/loadBalancer:LoadBalancer",
        name="second",
        props={
            "arn": "arn:LoadBalancer:second",
            "dropInvalidHeaderFields": True,
            "idleTimeout": 130,
            "enableDeletionProtection": True,
            "tags": _SERVICE,
            **props,
        },
        protect=True,
    )


_ENCRYPTION: Final = (
    Unsafe(
        policy="exposure-tls-when-internet-facing",
        why="prompts cross the internet in the clear",
        base="ramp",
        edits={"LoadBalancer chat": {"internal": False}},
        says="chat: protocol is HTTP, but must be HTTPS, because chat is internet-facing",
    ),
    Unsafe(
        policy="exposure-tls-when-internet-facing",
        why="AWS makes a load balancer that does not say where it stands for the internet",
        base="ramp",
        edits={"LoadBalancer chat": {"internal": GONE}, "Listener chat": {"protocol": GONE}},
        says="chat: protocol is HTTP",
    ),
    Unsafe(
        policy="exposure-tls-when-internet-facing",
        why="the certificate was taken away: what redirected stays, to a port where plain HTTP is spoken",
        base="public",
        edits={"Listener chat": {"protocol": "HTTP", "sslPolicy": GONE}},
        says="chat: protocol is HTTP",
    ),
    Unsafe(
        policy="exposure-tls-when-internet-facing",
        why="of two load balancers the one on the internet has no HTTPS",
        base="private",
        edits={
            "LoadBalancer chat": {"arn": "arn:LoadBalancer:chat"},
        },
        added=(
            _balancer(idleTimeout=810),
            _listener("second", loadBalancerArn="arn:LoadBalancer:second", tags=_SERVICE),
        ),
        says="second: protocol is HTTP, but must be HTTPS, because second is internet-facing",
    ),
    Unsafe(
        policy="exposure-redirect",
        why="plain HTTP is answered beside HTTPS, and clients stay there",
        base="public",
        edits={
            "Listener chat-redirect": {
                "defaultActions": [{"type": "fixed-response", "fixedResponse": {"statusCode": "404"}}]
            }
        },
        says="chat-redirect: defaultActions is fixed-response, but must be a redirect to the protocol HTTPS",
    ),
    Unsafe(
        policy="exposure-redirect",
        why="the redirect keeps the protocol, which leads back to itself",
        base="private",
        edits={"Listener chat-redirect": {"defaultActions[0].redirect.protocol": GONE}},
        says="chat-redirect: defaultActions is redirect",
    ),
    Unsafe(
        policy="exposure-redirect",
        why="a listener that does nothing by default, for its rules to do something",
        base="private",
        edits={"Listener chat-redirect": {"defaultActions": []}},
        says="chat-redirect: defaultActions is empty",
    ),
    Unsafe(
        policy="exposure-redirect",
        why="candidates are tried over plain HTTP, secret and all",
        base="public",
        edits={
            "Listener chat-redirect": {"arn": "arn:Listener:chat-redirect"},
            "ListenerRule chat": {"listenerArn": "arn:Listener:chat-redirect"},
            "ListenerRule chat-blue-candidate": {"listenerArn": "arn:Listener:chat-redirect"},
            "ListenerRule chat-green-candidate": {"listenerArn": "arn:Listener:chat-redirect"},
        },
        says="chat-green-candidate: listenerArn is arn:Listener:chat-redirect, but must be that of the HTTPS listener",
    ),
    Unsafe(
        policy="exposure-tls-policy",
        why="AWS's default allows TLS 1.0",
        base="public",
        edits={"Listener chat": {"sslPolicy": GONE}},
        says="chat: sslPolicy is ELBSecurityPolicy-2016-08, but must be one for TLS 1.2 or newer",
    ),
    Unsafe(
        policy="exposure-tls-policy",
        why="TLS 1.3 in the name, and TLS 1.0 in the handshake",
        base="public",
        edits={"Listener chat": {"sslPolicy": "ELBSecurityPolicy-TLS13-1-0-2021-06"}},
        says="ELBSecurityPolicy-TLS13-1-0-2021-06",
    ),
    Unsafe(
        policy="exposure-tls-policy",
        why="forward secrecy, but TLS 1.1",
        base="private",
        edits={"Listener chat": {"sslPolicy": "ELBSecurityPolicy-FS-1-1-2019-08"}},
    ),
    Unsafe(
        policy="exposure-tls-policy",
        why="an old name that says nothing of its versions, which are all",
        base="private",
        edits={"Listener chat": {"sslPolicy": "ELBSecurityPolicy-FS-2018-06"}},
    ),
    Unsafe(
        policy="exposure-tls-policy",
        why="a team that wants TLS 1.3 alone",
        base="public",
        config={"exposure-tls-policy": {"minimum_tls": "1.3"}},
        says="must be one for TLS 1.3 or newer",
    ),
)

_DENIED: Final = (
    Unsafe(
        policy="exposure-default-deny",
        why="what no rule takes goes to pods, /metrics and /pause too",
        base="public",
        edits={"Listener chat": {"defaultActions": _TO_GREEN}},
        says="chat: defaultActions is forward, but must be a fixed response of 4xx, or a redirect",
    ),
    Unsafe(
        policy="exposure-default-deny",
        why="a hand-written listener without tags that forwards to both colours",
        base="joined",
        added=(
            _listener(
                "shared",
                defaultActions=[
                    {
                        "type": "forward",
                        "forward": {
                            "targetGroups": [
                                {"arn": _GREEN_ARN, "weight": 50},
                                {"arn": _GREEN_ARN.replace("green", "blue"), "weight": 50},
                            ]
                        },
                    }
                ],
            ),
        ),
        says="shared: defaultActions is forward",
    ),
    Unsafe(
        policy="exposure-default-deny",
        why="a service's own listener leads to something else by default",
        base="public",
        edits={"Listener chat": {"defaultActions": _TO_ANOTHER}},
        says="chat: defaultActions is forward",
    ),
    Unsafe(
        policy="exposure-default-deny",
        why="requests for unknown paths are answered as if the paths existed",
        base="public",
        edits={"Listener chat": {"defaultActions[0].fixedResponse.statusCode": "200"}},
        says="chat: defaultActions.fixedResponse.statusCode is 200, but must be 4xx",
    ),
    Unsafe(
        policy="exposure-default-deny",
        why="503 makes clients come again, and alarms ring",
        base="public",
        edits={"Listener chat": {"defaultActions[0].fixedResponse.statusCode": "503"}},
        says="statusCode is 503",
    ),
    Unsafe(
        policy="exposure-api-only",
        why="users reach all that vLLM serves",
        base="public",
        edits={"ListenerRule chat": {_PATHS: ["/*"]}},
        says="chat: the path condition is /*, but must be /v1/*",
    ),
    Unsafe(
        policy="exposure-api-only",
        why="one path more than the API",
        base="public",
        edits={"ListenerRule chat": {_PATHS: ["/v1/*", "/metrics"]}},
        says="chat: the path condition is /metrics, but",
    ),
    Unsafe(
        policy="exposure-api-only",
        why="no slash: /v1x is beyond the API",
        base="public",
        edits={"ListenerRule chat": {_PATHS: ["/v1*"]}},
        says="chat: the path condition is /v1*",
    ),
    Unsafe(
        policy="exposure-api-only",
        why="the candidate's route leads to /pause, and all that it takes is the header",
        base="public",
        edits={"ListenerRule chat-green-candidate": {"conditions[1]": GONE}},
        says="chat-green-candidate: the path condition is not set",
    ),
    Unsafe(
        policy="exposure-api-only",
        why="a regular expression, which may match anything",
        base="public",
        edits={"ListenerRule chat": {"conditions[0].pathPattern": {"regexValues": ["^/v1/.*|^/metrics$"]}}},
        says="chat: the path condition is not set",
    ),
    Unsafe(
        policy="exposure-api-only",
        why="a rule of somebody's own that leads Prometheus, and everybody else, to green",
        base="public",
        added=(
            Declared(
                type="aws:lb/listenerRule:ListenerRule",
                name="metrics",
                props={
                    "listenerArn": "arn:Listener:chat",
                    "priority": 5,
                    "conditions": [{"pathPattern": {"values": ["/metrics"]}}],
                    "actions": _TO_GREEN,
                },
            ),
        ),
        says="metrics: the path condition is /metrics",
    ),
)

_CLOSED: Final = (
    Unsafe(
        policy="exposure-nodes-closed",
        why="pods are open to the whole world, past the load balancer",
        base="public",
        added=(_ingress(cidrIpv4="0.0.0.0/0", fromPort=8000, toPort=8000),),
        says="extra: what 0.0.0.0/0 may reach is tcp 8000, but must be a load balancer's: tcp 80 or 443",
    ),
    Unsafe(
        policy="exposure-nodes-closed",
        why="all ports, by IPv6",
        base="public",
        added=(_ingress(cidrIpv6="::/0", ipProtocol="-1"),),
        says="extra: what ::/0 may reach is everything",
    ),
    Unsafe(
        policy="exposure-nodes-closed",
        why="both client ports, and all between them",
        base="public",
        added=(_ingress(cidrIpv4="0.0.0.0/0", fromPort=80, toPort=443),),
        says="may reach is tcp 80 to 443",
    ),
    Unsafe(
        policy="exposure-nodes-closed",
        why="half of the world",
        base="public",
        added=(_ingress(cidrIpv4="128.0.0.0/1", fromPort=22, toPort=22),),
        says="what 128.0.0.0/1 may reach is tcp 22",
    ),
    Unsafe(
        policy="exposure-nodes-closed",
        why="all IPv6 addresses that the internet has",
        base="public",
        added=(_ingress(cidrIpv6="2000::/3", fromPort=22, toPort=22),),
        says="what 2000::/3 may reach",
    ),
    Unsafe(
        policy="exposure-nodes-closed",
        why="a network a bit wider than any private one",
        base="public",
        added=(_ingress(cidrIpv6="fc00::/6", fromPort=22, toPort=22),),
        says="what fc00::/6 may reach",
    ),
    Unsafe(
        policy="exposure-nodes-closed",
        why="443, but by UDP",
        base="public",
        added=(_ingress(cidrIpv4="0.0.0.0/0", ipProtocol="udp", fromPort=443, toPort=443),),
        says="may reach is udp 443",
    ),
    Unsafe(
        policy="exposure-nodes-closed",
        why="SSH for everybody, by a rule of the older kind",
        base="public",
        added=(_classic_rule(cidrBlocks=["10.0.0.0/8", "0.0.0.0/0"]),),
        says="extra: what 0.0.0.0/0 may reach is tcp 22",
    ),
    Unsafe(
        policy="exposure-nodes-closed",
        why="SSH for everybody with IPv6, by a rule of the older kind",
        base="public",
        added=(_classic_rule(ipv6CidrBlocks=["::/0"]),),
        says="extra: what ::/0 may reach is tcp 22",
    ),
    Unsafe(
        policy="exposure-nodes-closed",
        why="SSH for everybody, in the security group itself",
        base="public",
        added=(_group({"protocol": "tcp", "fromPort": 22, "toPort": 22, "cidrBlocks": ["0.0.0.0/0"]}),),
        says="extra: what 0.0.0.0/0 may reach is tcp 22",
    ),
    Unsafe(
        policy="exposure-nodes-closed",
        why="the VPC's default security group opens all ports",
        base="public",
        added=(
            _group(
                {"protocol": "-1", "fromPort": 0, "toPort": 0, "cidrBlocks": ["0.0.0.0/0"], "ipv6CidrBlocks": ["::/0"]},
                type_="aws:ec2/defaultSecurityGroup:DefaultSecurityGroup",
            ),
        ),
        says="extra: what 0.0.0.0/0, ::/0 may reach is everything",
    ),
    Unsafe(
        policy="exposure-nodes-closed",
        why="the controller opens the pods' security group to everybody",
        base="public",
        edits={
            "TargetGroupBinding chat-green": {
                "spec.networking.ingress[0].from[0]": {"ipBlock": {"cidr": "0.0.0.0/0"}},
            }
        },
        says="chat-green: spec.networking.ingress.from.ipBlock is 0.0.0.0/0, but must be the load balancer's group",
    ),
    Unsafe(
        policy="exposure-nodes-closed",
        why="EKS opens port 22 to the world for a key without security groups",
        base="public",
        edits={"NodeGroup chat-green": {"remoteAccess": {"ec2SshKey": "ops"}}},
        says="chat-green: remoteAccess.sourceSecurityGroupIds is not set",
    ),
    Unsafe(
        policy="exposure-nodes-closed",
        why="a team whose services are all internal",
        base="private",
        edits={"SecurityGroupIngressRule chat-clients-0": {"cidrIpv4": "0.0.0.0/0"}},
        config={"exposure-nodes-closed": {"client_ports": []}},
        says="chat-clients-0: what 0.0.0.0/0 may reach is tcp 443, but must be nothing",
    ),
    Unsafe(
        policy="exposure-no-other-way-in",
        why="a second load balancer in front of green, which no weight rules",
        base="public",
        edits={"Service chat-green": {"spec.type": "LoadBalancer"}},
        says="chat-green: spec.type is LoadBalancer, but must be ClusterIP",
    ),
    Unsafe(
        policy="exposure-no-other-way-in",
        why="a port of every node leads to blue",
        base="public",
        edits={"Service chat-blue": {"spec.type": "NodePort"}},
        says="chat-blue: spec.type is NodePort",
    ),
    Unsafe(
        policy="exposure-no-other-way-in",
        why="nodes take the requests for an address outside",
        base="public",
        edits={"Service chat-blue": {"spec.externalIPs": ["203.0.113.7"]}},
        says="chat-blue: spec.externalIPs is 203.0.113.7, but must be empty",
    ),
)

_NODES: Final = (
    Unsafe(
        policy="exposure-no-public-addresses",
        why="GPU nodes with public addresses",
        base="public",
        edits={"LaunchTemplate chat-green": {"networkInterfaces[0].associatePublicIpAddress": "true"}},
        says="chat-green: networkInterfaces.associatePublicIpAddress is true, but must be false",
    ),
    Unsafe(
        policy="exposure-no-public-addresses",
        why="a public address that the subnets of the team would not give, but the template does",
        base="public",
        edits={"LaunchTemplate chat-green": {"networkInterfaces[0].associatePublicIpAddress": True}},
        config={"exposure-no-public-addresses": {"subnets_are_private": True}},
        says="is true",
    ),
    Unsafe(
        policy="exposure-no-public-addresses",
        why="the subnet decides, and a public one says yes",
        base="public",
        edits={"LaunchTemplate chat-green": {"networkInterfaces[0].associatePublicIpAddress": GONE}},
        says="is not set, but must be false, or the subnet decides",
    ),
    Unsafe(
        policy="exposure-no-public-addresses",
        why="nothing is said of network interfaces",
        base="public",
        edits={"LaunchTemplate chat-blue": {"networkInterfaces": GONE}},
        says="chat-blue: networkInterfaces.associatePublicIpAddress is not set",
    ),
    Unsafe(
        policy="exposure-nodes-by-template",
        why="EKS's own template: pods may ask for the node's credentials",
        base="public",
        edits={"NodeGroup chat-green": {"launchTemplate": GONE}},
        says="chat-green: launchTemplate is not set, but must be one of the stack",
    ),
    Unsafe(
        policy="exposure-nodes-by-template",
        why="a hand-written group of GPU nodes",
        base="public",
        added=(
            Declared(
                type="aws:eks/nodeGroup:NodeGroup",
                name="extra",
                props={"amiType": "BOTTLEROCKET_x86_64_NVIDIA", "scalingConfig": {"desiredSize": 1}},
                protect=True,
            ),
        ),
        says="extra: launchTemplate is not set",
    ),
    Unsafe(
        policy="exposure-imds",
        why="a client that makes a pod fetch a URL gets the node's credentials",
        base="public",
        edits={"LaunchTemplate chat-green": {"metadataOptions.httpTokens": "optional"}},
        says="chat-green: metadataOptions.httpTokens is optional, but must be required",
    ),
    Unsafe(
        policy="exposure-imds",
        why="two hops reach into pods",
        base="public",
        edits={"LaunchTemplate chat-green": {"metadataOptions.httpPutResponseHopLimit": 2}},
        says="metadataOptions.httpPutResponseHopLimit is 2, but must be at most 1",
    ),
    Unsafe(
        policy="exposure-imds",
        why="the AMI decides how many hops: Amazon Linux 2023 takes two",
        base="public",
        edits={"LaunchTemplate chat-green": {"metadataOptions.httpPutResponseHopLimit": GONE}},
        says="metadataOptions.httpPutResponseHopLimit is not set",
    ),
    Unsafe(
        policy="exposure-imds",
        why="nothing is said of metadata",
        base="public",
        edits={"LaunchTemplate chat-green": {"metadataOptions": GONE}},
        says="metadataOptions.httpTokens is not set",
    ),
    Unsafe(
        policy="exposure-imds",
        why="three hops, where a team permits two",
        base="public",
        edits={"LaunchTemplate chat-green": {"metadataOptions.httpPutResponseHopLimit": 3}},
        config={"exposure-imds": {"maximum_hops": 2}},
        says="must be at most 2",
    ),
    Unsafe(
        policy="exposure-encrypted-volumes",
        why="weights and caches rest in the clear",
        base="public",
        edits={"LaunchTemplate chat-green": {f"{_EBS}.encrypted": "false"}},
        says="chat-green: blockDeviceMappings.ebs.encrypted of /dev/xvda is false, but must be true",
    ),
    Unsafe(
        policy="exposure-encrypted-volumes",
        why="the AMI decides, and Amazon's are not encrypted",
        base="public",
        edits={"LaunchTemplate chat-green": {f"{_EBS}.encrypted": GONE}},
        says="of /dev/xvda is not set",
    ),
    Unsafe(
        policy="exposure-encrypted-volumes",
        why="nothing is said of volumes",
        base="public",
        edits={"LaunchTemplate chat-green": {"blockDeviceMappings": GONE}},
        says="chat-green: blockDeviceMappings is not set",
    ),
    Unsafe(
        policy="exposure-encrypted-volumes",
        why="the root volume is encrypted, the one for caches is not",
        base="public",
        edits={
            "LaunchTemplate chat-green": {
                "blockDeviceMappings[1]": {"deviceName": "/dev/xvdb", "ebs": {"volumeSize": 500, "encrypted": False}}
            }
        },
        says="of /dev/xvdb is false",
    ),
)

_HEADERS: Final = (
    Unsafe(
        policy="exposure-drop-invalid-headers",
        why="headers that pods may read as something else are passed on",
        base="public",
        edits={"LoadBalancer chat": {"dropInvalidHeaderFields": False}},
        says="chat: dropInvalidHeaderFields is false, but must be true",
    ),
    Unsafe(
        policy="exposure-drop-invalid-headers",
        why="AWS passes them on where nothing is said",
        base="public",
        edits={"LoadBalancer chat": {"dropInvalidHeaderFields": GONE}},
        says="chat: dropInvalidHeaderFields is not set",
    ),
    Unsafe(
        policy="exposure-desync-mitigation",
        why="requests that can be read in two ways are counted and passed on",
        base="public",
        edits={"LoadBalancer chat": {"desyncMitigationMode": "monitor"}},
        says="chat: desyncMitigationMode is monitor, but must be defensive or strictest",
    ),
    Unsafe(
        policy="exposure-desync-mitigation",
        why="the same on a load balancer without a type, which is one for applications",
        base="private",
        edits={"LoadBalancer chat": {"desyncMitigationMode": "monitor", "loadBalancerType": GONE}},
        says="chat: desyncMitigationMode is monitor",
    ),
)

UNSAFE: tuple[Unsafe, ...] = (*_ENCRYPTION, *_DENIED, *_CLOSED, *_NODES, *_HEADERS)

SAFE: tuple[Safe, ...] = (
    Safe(
        why="inside the network, a listener of plain HTTP with rules of its own",
        base="ramp",
        edits={"Listener chat": {"arn": "arn:Listener:chat"}},
    ),
    Safe(
        why="one that only redirects to another's HTTPS may face the internet by itself",
        base="public",
        edits={"Listener chat": GONE},
    ),
    Safe(
        why="two load balancers: the one on the internet has HTTPS, the other one stands inside",
        base="public",
        edits={"LoadBalancer chat": {"arn": "arn:LoadBalancer:chat"}},
        added=(
            _balancer(internal="true"),
            _listener("second", loadBalancerArn="arn:LoadBalancer:second", tags=_SERVICE),
        ),
    ),
    Safe(
        why="a Network Load Balancer passes TLS on as it is, and reads no headers",
        base="public",
        added=(
            _balancer(loadBalancerType="network", internal=False, desyncMitigationMode=None),
            _listener("second", loadBalancerArn="arn:LoadBalancer:second", protocol="TCP"),
        ),
    ),
    *(
        Safe(
            why=f"a security policy of TLS 1.2 or newer: {policy}",
            base="public",
            edits={"Listener chat": {"sslPolicy": policy}},
        )
        for policy in (
            "ELBSecurityPolicy-TLS13-1-2-2021-06",
            "ELBSecurityPolicy-TLS13-1-3-FIPS-2023-04",
            "ELBSecurityPolicy-TLS-1-2-2017-01",
            "ELBSecurityPolicy-FS-1-2-Res-2020-10",
        )
    ),
    Safe(
        why="TLS 1.3 alone, as a team wants it",
        base="public",
        edits={"Listener chat": {"sslPolicy": "ELBSecurityPolicy-TLS13-1-3-2021-06"}},
        config={"exposure-tls-policy": {"minimum_tls": "1.3"}},
    ),
    Safe(
        why="a listener of another application leads where it likes",
        base="joined",
        added=(_listener("web", defaultActions=_TO_ANOTHER),),
    ),
    Safe(
        why="another application's listener answers as it likes",
        base="joined",
        added=(_listener("web", defaultActions=[{"type": "fixed-response", "fixedResponse": {"statusCode": "200"}}]),),
    ),
    Safe(
        why="requests for other paths are redirected to the documentation",
        base="public",
        edits={"Listener chat": {"defaultActions": _TO_HTTPS}},
    ),
    Safe(
        why="one path of the API alone, and 403 for the rest",
        base="public",
        edits={
            "ListenerRule chat": {_PATHS: ["/v1/chat/completions", "/v1/models"]},
            "Listener chat": {"defaultActions[0].fixedResponse.statusCode": 403},
        },
    ),
    Safe(
        why="a second path condition narrows what the first one takes",
        base="public",
        edits={"ListenerRule chat": {"conditions[1]": {"pathPattern": {"values": ["/*/completions"]}}}},
    ),
    Safe(
        why="a team that serves more than /v1",
        base="public",
        edits={"ListenerRule chat": {_PATHS: ["/v2/*", "/v1/*", "/version"]}},
        config={"exposure-api-only": {"paths": ["/v1/*", "/v2/*", "/version"]}},
    ),
    Safe(
        why="a rule of another application takes what it likes",
        base="joined",
        added=(
            Declared(
                type="aws:lb/listenerRule:ListenerRule",
                name="web",
                props={"priority": 5, "conditions": [{"pathPattern": {"values": ["/*"]}}], "actions": _TO_ANOTHER},
            ),
        ),
    ),
    Safe(
        why="networks of one's own may reach what they like, as wide as they get",
        base="public",
        added=(_ingress(cidrIpv6="fc00::/7", ipProtocol="-1"),),
    ),
    Safe(
        why="a load balancer's port, by the number of its protocol and as a text",
        base="public",
        added=(_ingress(cidrIpv4="0.0.0.0/0", ipProtocol="6", fromPort="80", toPort="80"),),
    ),
    Safe(
        why="the nodes' security group opens to another group, and out to the world",
        base="public",
        added=(
            _group({"protocol": "tcp", "fromPort": 8000, "toPort": 8000, "securityGroups": ["sg-1"]}),
            _classic_rule(type="egress", cidrBlocks=["0.0.0.0/0"]),
        ),
    ),
    Safe(
        why="a load balancer for clients on 8443",
        base="public",
        added=(_ingress(cidrIpv4="0.0.0.0/0", fromPort=8443, toPort=8443),),
        config={"exposure-nodes-closed": {"client_ports": [443, 8443]}},
        edits={
            "SecurityGroupIngressRule chat-redirect-0": GONE,
            "SecurityGroupIngressRule chat-redirect-1": GONE,
        },
    ),
    Safe(
        why="SSH from one security group, and pods open to one network",
        base="public",
        edits={
            "NodeGroup chat-green": {"remoteAccess": {"ec2SshKey": "ops", "sourceSecurityGroupIds": ["sg-1"]}},
            "TargetGroupBinding chat-green": {
                "spec.networking.ingress[0].from[1]": {"ipBlock": {"cidr": "10.0.0.0/16"}}
            },
        },
    ),
    Safe(
        why="a Service of something else has a load balancer of its own",
        base="public",
        added=(
            Declared(
                type="kubernetes:core/v1:Service",
                name="web",
                props={"metadata": {"labels": {"app": "web"}}, "spec": {"type": "LoadBalancer"}},
            ),
        ),
    ),
    Safe(
        why="a headless Service, whose type is left out",
        base="public",
        edits={"Service chat-green": {"spec.type": GONE, "spec.clusterIP": "None", "spec.externalIPs": []}},
    ),
    Safe(
        why="several network interfaces, with which EC2 gives no public address",
        base="public",
        edits={
            "LaunchTemplate chat-green": {
                "networkInterfaces": [{"deviceIndex": 0}, {"deviceIndex": 1, "networkCardIndex": 1}]
            }
        },
    ),
    Safe(
        why="a team whose subnets are all private",
        base="public",
        edits={"LaunchTemplate chat-green": {"networkInterfaces": GONE}},
        config={"exposure-no-public-addresses": {"subnets_are_private": True}},
    ),
    Safe(
        why="nodes without GPUs, and without a template",
        base="public",
        added=(
            Declared(type="aws:eks/nodeGroup:NodeGroup", name="system", props={"amiType": "AL2023_x86_64_STANDARD"}),
        ),
    ),
    Safe(
        why="no metadata service at all",
        base="public",
        edits={"LaunchTemplate chat-green": {"metadataOptions": {"httpEndpoint": "disabled"}}},
    ),
    Safe(
        why="two hops, where a team permits them",
        base="public",
        edits={"LaunchTemplate chat-green": {"metadataOptions.httpPutResponseHopLimit": "2"}},
        config={"exposure-imds": {"maximum_hops": 2}},
    ),
    Safe(
        why="encrypted by a boolean, beside a disk of the instance that has no EBS",
        base="public",
        edits={
            "LaunchTemplate chat-green": {
                f"{_EBS}.encrypted": True,
                "blockDeviceMappings[1]": {"deviceName": "/dev/xvdb", "virtualName": "ephemeral0"},
            }
        },
    ),
    Safe(
        why="strictest, and drops headers by a text",
        base="public",
        edits={"LoadBalancer chat": {"desyncMitigationMode": "strictest", "dropInvalidHeaderFields": "true"}},
    ),
    Safe(
        why="AWS's own way with requests that can be read in two ways",
        base="public",
        edits={"LoadBalancer chat": {"desyncMitigationMode": GONE}},
    ),
    Safe(
        why="a template that somebody exempted",
        base="public",
        edits={"LaunchTemplate chat-green": {f"{_EBS}.encrypted": GONE}},
        config={"exposure-encrypted-volumes": {"exempt": ["chat-green"]}},
    ),
)
