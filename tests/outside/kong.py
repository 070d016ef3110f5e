"""Runs the lines of Lua in a generated Kong configuration outside Kong: kong.py FILE, one request a line on standard
input as JSON (its headers). Stands in for what the lines use of Kong and of resty.http; the request to mintgate is real.
Prints for each one line of JSON: the status if it was answered, else the headers the application would be sent."""
import http.client
import json
import sys
import urllib.parse

import yaml
from lupa.lua53 import LuaRuntime

configuration = yaml.safe_load(open(sys.argv[1]))
(code,) = configuration["services"][0]["plugins"][0]["config"]["access"]


def request_uri(_, url, options):
    parts = urllib.parse.urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname, parts.port, timeout=10)
    try:
        headers = {name: value for name, value in options["headers"].items() if value is not None}
        connection.request(options["method"], f"{parts.path}?{parts.query}", headers=headers)
        answer = connection.getresponse()
    except OSError as error:
        return None, str(error)
    # resty.http reads the names of headers without case.
    found = lua.eval("function(get) return setmetatable({}, { __index = function(_, name) return get(name) end }) end")
    return lua.table(status=answer.status, headers=found(answer.getheader)), None


for line in sys.stdin:
    lua = LuaRuntime(unpack_returned_tuples=True)
    request = {name.lower(): value for name, value in json.loads(line).items()}
    said = {}

    def leave(status, body=None, headers=None):
        said.update(status=status, headers=dict(headers.items()) if headers else {})

    upstream = lua.table(
        clear_header=lambda name: request.pop(name.lower(), None),
        set_header=lambda name, value: request.update({name.lower(): value}),
    )
    stand_in = lua.eval("function(request) package.loaded['resty.http'] = { new = function() return {"
                        " set_timeout = function() end, request_uri = request } end } end")
    stand_in(request_uri)
    lua.globals().kong = lua.table(
        request=lua.table(get_header=lambda name: request.get(name.lower())),
        service=lua.table(request=upstream),
        response=lua.table(exit=leave),
        log=lua.table(err=lambda *words: None),
    )
    lua.execute(code)
    print(json.dumps(said or {"passed": request}))
