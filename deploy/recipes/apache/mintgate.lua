-- Asks mintgate whether a request may pass, and takes over who asks. For the configuration that
-- `mintgate gen-config apache` prints. Written by `mintgate gen-config apache-lua`; run against Apache 2.4.

local http = require "socket.http"

local url = "http://127.0.0.1:8080/verify?aud=https://api.example&scope=read"
local sent_on = { "authorization" }
local identity = { "x-auth-subject", "x-auth-client", "x-auth-scope", "x-auth-expires" }

http.TIMEOUT = 5

function mintgate(r)
    local asked = {}
    for _, name in ipairs(sent_on) do asked[name] = r.headers_in[name] end

    local _, status, answer = http.request { url = url, headers = asked, redirect = false }
    if status == 200 then
        for _, name in ipairs(identity) do r.headers_in[name] = answer[name] or "" end
        return apache2.OK
    end
    if status == 401 or status == 403 then
        -- Of the headers for errors: the others are dropped when the answer is one.
        r.err_headers_out["WWW-Authenticate"] = answer["www-authenticate"]
        return status
    end
    -- mintgate cannot be reached: nobody passes.
    return 503
end
