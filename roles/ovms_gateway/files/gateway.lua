-- SPDX-License-Identifier: Apache-2.0
-- What HAProxy's own rules cannot do: keys that change without a reload, requests that wait for a slot of OVMS, and
-- refusals that arrive. Runs in one thread (nbthread 1), so what is counted here is exact. Lua 5.3 and 5.4.

local ROUTE_FILE = os.getenv("GATEWAY_ROUTE_FILE")
local KEYS_FILE = os.getenv("GATEWAY_KEYS_FILE")
local CONFIG = os.getenv("GATEWAY_CONFIG")
local CONCURRENCY = tonumber(os.getenv("GATEWAY_CONCURRENCY"))
local HOLD_SECONDS = tonumber(os.getenv("GATEWAY_HOLD_SECONDS"))
local SLOTS = { a = os.getenv("GATEWAY_SLOT_A"), b = os.getenv("GATEWAY_SLOT_B") }
local OVMS_PORT = 8000

local POLL_MS = 20
-- One that did not ask for so long has gone: HAProxy ends what it sees the end of without a word.
local GONE_SECONDS = 1
-- How old the kernel's table of connections may be by which a client has gone.
local TABLE_SECONDS = 0.5
-- A server that a new HAProxy has taken over the checks of is asked anew after so long.
local PROBE_SECONDS = 0.2
-- How much of the body of a refused request is read, and for how long if its length is not known, before the answer.
local DRAIN_BYTES = 256 * 1024 * 1024
local DRAIN_SECONDS = 60
local DRAIN_PIECE = 64 * 1024

local REFUSALS = {
    [401] = { "no key, or none that is known here; send the header `Authorization: Bearer KEY`",
              'www-authenticate: Bearer realm="ovms-edge"\r\n' },
    [403] = { "this path and method are not let through; ask the administrator of the host" },
    [411] = { "the length of the body is not given; send the header Content-Length" },
    [413] = { "the body is larger than " .. os.getenv("GATEWAY_MAX_BODY") .. " bytes; send smaller images" },
    [429] = { "the server has as many requests as it takes; try again later", "retry-after: 5\r\n" },
    [500] = { "the gateway cannot read its keys; see its log on the host", "retry-after: 30\r\n" },
    [503] = { "no model is served at present; try again later", "retry-after: 10\r\n" },
}

local function seconds()
    local now = core.now()
    return now.sec + now.usec / 1000000
end

local function route()
    local file = io.open(ROUTE_FILE)
    if not file then
        return nil
    end
    local word = file:read(64)
    file:close()
    word = word and word:match("^(%l+)\n?$")
    return SLOTS[word] and word
end

-- After a reload the old HAProxy goes on with the requests that it has, and checks the servers no more.
local stopping = false
local probed = { a = { at = 0 }, b = { at = 0 } }

local function probe(slot)
    local last = probed[slot]
    if seconds() - last.at < PROBE_SECONDS then
        return last.ready
    end
    last.at = seconds()
    local socket = core.tcp()
    socket:settimeout(5)
    last.ready = false
    if socket:connect(SLOTS[slot], OVMS_PORT) then
        socket:send("GET /v2/health/ready HTTP/1.0\r\nHost: ovms\r\n\r\n")
        local line = socket:receive("*l")
        last.ready = line ~= nil and line:match("^HTTP/1%.%d 200") ~= nil
    end
    socket:close()
    return last.ready
end

local function up(txn, slot)
    if txn.sf:srv_is_up("ovms/" .. slot) == "1" then
        return true
    end
    stopping = stopping or tonumber(core.get_info().Stopping) == 1
    return stopping and probe(slot)
end

-- While a request waits, HAProxy reads nothing of its client (the buffer is full, or it is 2.8 or later), and so does
-- not see that it has gone. The kernel does, unless more of the body is under way than its own buffer takes. Of a
-- client by IPv6 or by the socket of the host nothing is known.
local connections = { at = 0, text = "" }

local function gone(txn)
    local a, b, c, d = txn.sf:src():match("^(%d+)%.(%d+)%.(%d+)%.(%d+)$")
    if not a then
        return false
    end
    if seconds() - connections.at >= TABLE_SECONDS then
        local file = io.open("/proc/net/tcp")
        if not file then
            return false
        end
        connections = { at = seconds(), text = file:read("a") }
        file:close()
    end
    -- The address in the byte order of the machine, little-endian on all that OVMS runs on; 01: ESTABLISHED.
    local remote = string.format(" %02X%02X%02X%02X:%04X 01 ", d, c, b, a, txn.sf:src_port())
    return connections.text:find(remote, 1, true) == nil
end

-- Who waits for a place, in the order of arrival: number -> when it last asked.
local waiting = {}
local last_number = 0

local function ahead_of(number)
    local now, count = seconds(), 0
    for other, asked in pairs(waiting) do
        if now - asked > GONE_SECONDS then
            waiting[other] = nil
        elseif other < number then
            count = count + 1
        end
    end
    return count
end

-- Sets txn.slot once a slot is routed and up, and with `queued` has a place free; does not after HOLD_SECONDS, or if the
-- client has gone.
local function wait(txn, queued)
    local started, number = seconds(), nil
    if queued then
        last_number = last_number + 1
        number = last_number
    end
    while true do
        local slot = route()
        if slot and up(txn, slot) then
            -- Whoever is ahead goes first, but need not have gone.
            if not queued or tonumber(txn.sf:srv_conn("ovms/" .. slot)) + ahead_of(number) < CONCURRENCY then
                -- `up` may have waited: the route that counts is the one of this moment.
                if route() == slot then
                    txn:set_var("txn.slot", slot)
                    break
                end
            end
        end
        if seconds() - started >= HOLD_SECONDS then
            break
        end
        -- Not at once: the table may be from before this connection.
        if seconds() - started > TABLE_SECONDS and gone(txn) then
            break
        end
        if queued then
            waiting[number] = seconds()
        end
        core.msleep(POLL_MS)
    end
    if queued then
        waiting[number] = nil
    end
    txn:set_var("txn.held", math.floor((seconds() - started) * 1000))
end

core.register_action("gateway_wait", { "http-req" }, function(txn)
    wait(txn, false)
end)

core.register_action("gateway_queue", { "http-req" }, function(txn)
    wait(txn, true)
end)

-- Sets txn.key to the name of the request's key; txn.refuse where there is none.
core.register_action("gateway_authorize", { "http-req" }, function(txn)
    local file = io.open(KEYS_FILE)
    if not file then
        core.Alert("gateway: " .. KEYS_FILE .. " cannot be read; every request is refused")
        txn:set_var("txn.refuse", 500)
        return
    end
    local key = (txn.sf:req_fhdr("authorization")):match("^[Bb][Ee][Aa][Rr][Ee][Rr] +(%S+)$")
    local digest = key and txn.sc:hex(txn.sc:sha2(key, 256)):lower()
    local name = nil
    for line in file:lines() do
        local known, its_name = line:match("^(%x+) (%S+)$")
        if digest and known == digest then
            name = its_name
        end
    end
    file:close()
    if name then
        txn:set_var("txn.key", name)
    else
        txn:set_var("txn.refuse", 401)
    end
end)

-- The server of refusals, reached by a socket as any other. HAProxy's own refusals close the connection at once, and a
-- client that is still sending sees that instead of the answer; so what it sends is read first, through HAProxy as to
-- any server. (A service in HTTP mode would be shorter, and can wait for ever for a chunk that has come: 2.4 to 2.8.)
local function drop(applet, size)
    while size > 0 do
        local piece = applet:receive(math.min(size, DRAIN_PIECE))
        if not piece or #piece == 0 then
            return false
        end
        size = size - #piece
    end
    return true
end

local function drain(applet, length, chunked)
    if not chunked then
        drop(applet, math.min(length, DRAIN_BYTES))
        return
    end
    local read, ends = 0, seconds() + DRAIN_SECONDS
    while read < DRAIN_BYTES and seconds() < ends do
        local size = tonumber((applet:getline() or ""):match("^%x+"), 16)
        if not size or size == 0 or not drop(applet, size + 2) then
            return
        end
        read = read + size
    end
end

core.register_service("gateway_refuse", "tcp", function(applet)
    local found, name, value = {}, nil, nil
    applet:getline()
    repeat
        name, value = (applet:getline() or ""):match("^([^:]+): *(.-)\r?\n$")
        if name then
            found[name:lower()] = value
        end
    until not name
    -- A client that asks first sends nothing more after this.
    if not found["expect"] then
        drain(applet, tonumber(found["content-length"]) or 0, found["transfer-encoding"])
    end
    local status = tonumber(found["gateway-refuse"])
    local reason, header = table.unpack(REFUSALS[status] or REFUSALS[503])
    local body = '{"error": "' .. reason .. '"}\n'
    applet:send("HTTP/1.1 " .. (REFUSALS[status] and status or 503) .. " \r\n" .. (header or "")
        .. "content-type: application/json\r\ncontent-length: " .. #body .. "\r\nconnection: close\r\n\r\n" .. body)
end)

core.register_service("gateway_health", "http", function(applet)
    local slot = route()
    local body = "hold\n"
    if slot then
        body = applet.sf:srv_is_up("ovms/" .. slot) == "1" and slot .. "\n" or "down\n"
    end
    applet:set_status(SLOTS[body:sub(1, 1)] and #body == 2 and 200 or 503)
    applet:add_header("content-type", "text/plain")
    applet:add_header("content-length", tostring(#body))
    applet:add_header("gateway-config", CONFIG)
    applet:start_response()
    applet:send(body)
end)
