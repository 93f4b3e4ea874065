#!/usr/bin/env bash
# Create what the bot needs at Microsoft: an app registration with its service principal, a credential, an Azure Bot,
# and its Teams channel. Sign in first (az login). You can run it again at any time: what is there is kept, and the
# endpoint is updated. It prints settings of the bot on stdout, everything else on stderr, and never a secret.
set -euo pipefail

usage() {
    cat >&2 <<'END'
usage: create-bot.sh --name NAME --resource-group GROUP [--endpoint URL] CREDENTIAL

  NAME        of the app registration and the Azure Bot: 4 to 42 letters, digits, - and _
  GROUP       an existing resource group
  URL         https://<your host>/api/messages; if you do not know it yet, leave it out and run the same command
              again later

CREDENTIAL is one of:
  --secret-file FILE              a new client secret, written to FILE, which only you can read
  --secrets-manager NAME          a new client secret, stored in AWS Secrets Manager under this name
  --aws-federation ISSUER ROLE    no secret: trust this issuer of your AWS account, for the ARN of the bot's role
END
    exit 2
}

say() { echo "$*" >&2; }
fail() {
    say "error: $*"
    exit 1
}
az() { command az "$@" --only-show-errors --output tsv; }

# --- arguments

name="" group="" endpoint="" credential="" secret_file="" secret_name="" issuer="" role=""
choose() { # choose <credential>: only one can be chosen
    [ -z "$credential" ] || usage
    credential=$1
}
while [ $# -gt 0 ]; do
    [ $# -ge 2 ] || usage
    case $1 in
        --name) name=$2 ;;
        --resource-group) group=$2 ;;
        --endpoint) endpoint=$2 ;;
        --secret-file) choose file && secret_file=$2 ;;
        --secrets-manager) choose secrets-manager && secret_name=$2 ;;
        --aws-federation)
            [ $# -ge 3 ] || usage
            choose federation && issuer=$2 role=$3
            shift
            ;;
        *) usage ;;
    esac
    shift 2
done
[ -n "$group" ] && [ -n "$credential" ] || usage
[[ $name =~ ^[A-Za-z0-9_-]{4,42}$ ]] || usage
[[ -z $endpoint || $endpoint =~ ^https://[A-Za-z0-9.-]+(:[0-9]+)?/api/messages$ ]] || fail "--endpoint: write https://<your host>/api/messages"
if [ "$credential" = federation ]; then
    [[ $issuer =~ ^https://[A-Za-z0-9.-]+$ ]] ||
        fail "the issuer: write what \`aws iam enable-outbound-web-identity-federation\` printed, https://<id>.tokens…"
    [[ $role =~ ^arn:aws:iam::[0-9]{12}:role/[A-Za-z0-9+=,.@_/-]+$ ]] ||
        fail "the role: write its ARN, like arn:aws:iam::111122223333:role/NodeAccessBot"
fi

# --- nothing is created before these checks

tenant=$(az account show --query tenantId)
[ "$(az group exists --name "$group")" = true ] ||
    fail "there is no resource group $group; create it: az group create --name $group --location <location>"
app=$(az ad app list --filter "displayName eq '$name'" --query "[].appId")
[ "$(wc -w <<<"$app")" -le 1 ] || fail "several app registrations are named $name; choose another --name"
bot=$(az resource list --resource-group "$group" --name "$name" --resource-type Microsoft.BotService/botServices --query "[].id")
if [ -n "$bot" ]; then
    used=$(az bot show --name "$name" --resource-group "$group" --query properties.msaAppId)
    [ "$used" = "$app" ] || fail "the Azure Bot $name has another app id, $used; choose another --name, or delete that bot"
fi

# --- app registration and service principal

if [ -z "$app" ]; then
    app=$(az ad app create --display-name "$name" --sign-in-audience AzureADMyOrg --query appId)
    say "created the app registration $name"
fi
if [ -z "$(az ad sp list --filter "appId eq '$app'" --query "[].id")" ]; then
    az ad sp create --id "$app" --query id >/dev/null
    say "created its service principal"
fi

# --- credential

new_secret() { # print a new client secret without a line end; the former ones stay
    az ad app credential reset --id "$app" --append --display-name node-access-bot --query password | tr -d '\r\n'
}
settings=""
case $credential in
    file)
        if [ -s "$secret_file" ]; then
            say "$secret_file is there; no new secret"
        else
            (umask 077 && rm -f "$secret_file.new" && new_secret >"$secret_file.new")
            [ -s "$secret_file.new" ] || fail "Entra returned no secret"
            mv "$secret_file.new" "$secret_file"
            say "wrote a client secret to $secret_file; it is valid for a year"
        fi
        ;;
    secrets-manager)
        arn=$(aws secretsmanager list-secrets --filters "Key=name,Values=$secret_name" \
            --query "SecretList[?Name=='$secret_name'].ARN" --output text)
        if [ -z "$arn" ]; then
            arn=$(new_secret | aws secretsmanager create-secret --name "$secret_name" \
                --secret-string file:///dev/stdin --query ARN --output text)
            say "stored a client secret in AWS Secrets Manager; it is valid for a year"
        fi
        settings="NODE_ACCESS_APP_SECRET_ARN=$arn"
        ;;
    federation)
        trust='{"name": "aws", "issuer": "'$issuer'", "subject": "'$role'", "audiences": ["api://AzureADTokenExchange"]}'
        if [ -z "$(az ad app federated-credential list --id "$app" --query "[?name=='aws'].id")" ]; then
            az ad app federated-credential create --id "$app" --parameters "$trust" --query id >/dev/null
            say "created the federated credential"
        else
            az ad app federated-credential update --id "$app" --federated-credential-id aws --parameters "$trust" >/dev/null
        fi
        settings="NODE_ACCESS_APP_CREDENTIAL=aws-federation"
        ;;
esac

# --- Azure Bot and Teams channel

if [ -z "$bot" ]; then
    az bot create --name "$name" --resource-group "$group" --app-type SingleTenant --appid "$app" --tenant-id "$tenant" \
        --sku F0 --query id >/dev/null
    say "created the Azure Bot $name"
fi
if [ -n "$endpoint" ]; then
    az bot update --name "$name" --resource-group "$group" --endpoint "$endpoint" --query id >/dev/null
    say "set the messaging endpoint"
else
    say "the messaging endpoint is unchanged; run this again with --endpoint when you know it"
fi
az bot msteams create --name "$name" --resource-group "$group" --query id >/dev/null # replaces itself

echo "NODE_ACCESS_APP_ID=$app"
echo "NODE_ACCESS_TENANT_ID=$tenant"
[ -z "$settings" ] || echo "$settings"
