-- Asks mintgate whether a request may pass, and takes over who asks. For the configuration that
-- `mintgate gen-config haproxy` prints. Written by `mintgate gen-config haproxy-lua`; run against HAProxy 2.6.

local url = "http://127.0.0.1:8080/verify?aud=https://api.example&scope=read"
local sent_on = { "authorization" }
local identity = { "x-auth-subject", "x-auth-client", "x-auth-scope", "x-auth-expires" }

-- The first value of a header, whatever index the table begins with.
local function first(values)
    if values == nil then return "" end
    for _, value in pairs(values) do return value end
    return ""
end

core.register_action("mintgate", { "http-req" }, function(txn)
    local received = txn.http:req_get_headers()
    local asked = {}
    for _, name in ipairs(sent_on) do asked[name] = received[name] end

    local answer = core.httpclient():get { url = url, headers = asked, timeout = 5000 }
    txn:set_var("txn.mintgate_status", answer.status or 0)
    txn:set_var("txn.mintgate_challenge", first(answer.headers and answer.headers["www-authenticate"]))
    if answer.status == 200 then
        for _, name in ipairs(identity) do txn.http:req_set_header(name, first(answer.headers[name])) end
    end
end)
