"""Start the AWS provider as a Pulumi plugin."""

from rehearsal.providers.aws.provider import AwsProvider
from rehearsal.providers.plugin import serve

if __name__ == "__main__":
    serve(AwsProvider())
