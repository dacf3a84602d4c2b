"""IAM roles and the policies attached to them."""

import json

from rehearsal.providers.aws.resource import Call, Naming, ResourceType, tags_of
from rehearsal.providers.aws.schema import boolean, document, integer, mapping, string
from rehearsal.providers.aws.waiting import is_missing, missing_is_fine
from rehearsal.providers.values import Tree

_ROLE_NAME = r"[\w+=,.@-]+"


def _create_role(call: Call) -> str:
    inputs = call.inputs
    optional = {"Description": "description", "PermissionsBoundary": "permissionsBoundary"}
    answer = call.client("iam").create_role(
        RoleName=inputs["name"],
        AssumeRolePolicyDocument=inputs["assumeRolePolicy"],
        Path=inputs["path"],
        MaxSessionDuration=inputs["maxSessionDuration"],
        **{api: inputs[name] for api, name in optional.items() if name in inputs},
        **({"Tags": call.tag_list} if call.tag_list else {}),
    )
    return answer["Role"]["RoleName"]


def _read_role(call: Call) -> Tree | None:
    try:
        role = call.client("iam").get_role(RoleName=call.id)["Role"]
    except Exception as error:
        if is_missing(error):
            return None
        raise
    return {
        "arn": role["Arn"],
        "name": role["RoleName"],
        "assumeRolePolicy": json.dumps(role["AssumeRolePolicyDocument"]),
        "createDate": role["CreateDate"].strftime("%Y-%m-%dT%H:%M:%SZ"),
        "description": role.get("Description") or None,
        "maxSessionDuration": role.get("MaxSessionDuration"),
        "path": role["Path"],
        "permissionsBoundary": role.get("PermissionsBoundary", {}).get("PermissionsBoundaryArn"),
        "uniqueId": role["RoleId"],
        "tags": tags_of(role.get("Tags", [])),
    }


def _update_role(call: Call) -> None:
    client, inputs, name = call.client("iam"), call.inputs, call.id
    if "assumeRolePolicy" in call.changed:
        client.update_assume_role_policy(RoleName=name, PolicyDocument=inputs["assumeRolePolicy"])
    if call.changed & {"description", "maxSessionDuration"}:
        client.update_role(
            RoleName=name,
            Description=inputs.get("description", ""),
            MaxSessionDuration=inputs["maxSessionDuration"],
        )
    if "permissionsBoundary" in call.changed:
        if "permissionsBoundary" in inputs:
            client.put_role_permissions_boundary(RoleName=name, PermissionsBoundary=inputs["permissionsBoundary"])
        elif "permissionsBoundary" in call.old:
            client.delete_role_permissions_boundary(RoleName=name)


def _delete_role(call: Call) -> None:
    client = call.client("iam")
    if call.inputs.get("forceDetachPolicies"):
        for policy in client.list_attached_role_policies(RoleName=call.id)["AttachedPolicies"]:
            client.detach_role_policy(RoleName=call.id, PolicyArn=policy["PolicyArn"])
    missing_is_fine(lambda: client.delete_role(RoleName=call.id))


def _attach(call: Call) -> str:
    role, policy = call.inputs["role"], call.inputs["policyArn"]
    call.client("iam").attach_role_policy(RoleName=role, PolicyArn=policy)
    return f"{role}/{policy}"


def _read_attachment(call: Call) -> Tree | None:
    role, _, policy = call.id.partition("/")
    try:
        attached = call.client("iam").list_attached_role_policies(RoleName=role)["AttachedPolicies"]
    except Exception as error:
        if is_missing(error):
            return None
        raise
    return {"role": role, "policyArn": policy} if any(p["PolicyArn"] == policy for p in attached) else None


def _detach(call: Call) -> None:
    role, _, policy = call.id.partition("/")
    missing_is_fine(lambda: call.client("iam").detach_role_policy(RoleName=role, PolicyArn=policy))


TYPES = (
    ResourceType(
        token="aws:iam/role:Role",
        properties={
            "assumeRolePolicy": document(required=True),
            "description": string(longest=1000),
            "forceDetachPolicies": boolean(default=False),
            "maxSessionDuration": integer(3600, 43_200, default=3600),
            "name": string(replaces=True, longest=64, pattern=_ROLE_NAME),
            "namePrefix": string(replaces=True, longest=38, pattern=_ROLE_NAME),
            "path": string(default="/", replaces=True, longest=512),
            "permissionsBoundary": string(),
            "tags": mapping(),
        },
        outputs=("arn", "createDate", "uniqueId"),
        create=_create_role,
        read=_read_role,
        update=_update_role,
        delete=_delete_role,
        naming=Naming(longest=64),
        tag_service="iam",
        tag_target="name",
    ),
    ResourceType(
        token="aws:iam/rolePolicyAttachment:RolePolicyAttachment",
        properties={
            "policyArn": string(required=True, replaces=True),
            "role": string(required=True, replaces=True),
        },
        outputs=(),
        create=_attach,
        read=_read_attachment,
        delete=_detach,
    ),
)
