# How to verify the access tokens of {{issuer}}, for a service that reads its environment:
# set -a; . ./mintgate.env; set +a. Printed by `mintgate gen-config env`; the examples read these names.
AUTH_ISSUER='{{issuer}}'
AUTH_AUDIENCE='{{audience}}'
AUTH_JWKS_URL='{{jwks_url}}'
AUTH_REVOCATIONS_URL='{{revocations_url}}'
AUTH_ALGORITHM='{{algorithm}}'
AUTH_TYP='{{typ}}'
AUTH_SCOPE='{{scope}}'
