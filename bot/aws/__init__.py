"""AWS behind the ports. With the DynamoDB store and the sandbox, the only importer of boto3."""
