// One resource is one service with both of its colours. Everything that a rollout writes is in the config's object
// `models:chat` (see Pulumi.dev.yaml), which goes to the component as it is.
import * as pulumi from "@pulumi/pulumi";
import * as bluegreen from "@pulumi/vllm-blue-green";

// The stack that made the cluster: organization/project/stack.
const config = new pulumi.Config();
const platform = new pulumi.StackReference(config.require("platform"));

const chat = new bluegreen.BlueGreenService("chat", {
    // Ids of what exists may be outputs; all other inputs must be plain values.
    clusterName: platform.requireOutput("clusterName"),
    clusterSecurityGroupId: platform.requireOutput("clusterSecurityGroupId"),
    vpcId: platform.requireOutput("vpcId"),
    nodeSubnetIds: platform.requireOutput("privateSubnetIds"),
    loadBalancerSubnetIds: platform.requireOutput("privateSubnetIds"),
    alarms: { errorRateLimitPercent: 2 },
    settings: config.requireObject("chat"),
    candidateRouteSecret: config.requireSecret("candidate_route_secret"),
});

export const endpoint = chat.endpoint;
export const releaseIds = chat.releaseIds;
