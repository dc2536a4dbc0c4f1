"""The scripts that change or read a partition's metadata, or the registry, each all or nothing.

KEYS are in one slot. A generation, of a directory or of the registry, is a number, a random *mark*, and one entry of
`changes`, `NUMBER MARK TIME BEFORE WINDOWS BLOCKS`, which lists what it touched since the number BEFORE: `window,…` or
`-`, and `uid:field,…` or `-` (in the registry names in hexadecimal).

Numbers ascend by one. A server that has been started since the last change, or was a replica then, may have forgotten
some: it goes on a thousand further, or at the time in ms if that is more, so that no reader takes what it kept of a
forgotten number for the new one of that number. Marks tell such states apart even where a copy was put back into the
same server.

`allow-oom`: what removes or replaces must go on when Redis is full, or nothing could ever be freed.
"""

from shared.redis.client import Script

_NOW = """
local function now_ms()
  local time = redis.call('TIME')
  return time[1] * 1000 + math.floor(time[2] / 1000)
end
"""

_BUMP = (
    _NOW
    + """
-- Begins the next generation and notes what it touched. Entries older than an hour go, a few each time: a reader that
-- is so far behind reads everything again.
local function bump(cursor, changes, generation, mark, windows, blocks)
  local now = now_ms()
  local number = string.format('%.0f', generation.number)
  redis.call('HSET', cursor, 'format', 1, 'generation', number, 'mark', mark, 'server', generation.server)
  local entry = string.format('%s %s %.0f %.0f ', number, mark, now, generation.before)
    .. (#windows > 0 and table.concat(windows, ',') or '-') .. ' '
    .. (#blocks > 0 and table.concat(blocks, ',') or '-')
  redis.call('ZADD', changes, number, entry)
  for _, old in ipairs(redis.call('ZRANGE', changes, 0, 7)) do
    local at = tonumber(string.match(old, '^%d+ %S+ (%d+)'))
    if at and at > now - 3600000 then break end
    if old ~= entry then redis.call('ZREM', changes, old) end
  end
end

local function next_generation(cursor)
  local found = redis.call('HMGET', cursor, 'generation', 'server')
  local before = tonumber(found[1] or '0')
  local info = redis.pcall('INFO', 'server')
  local server = type(info) == 'string' and string.match(info, 'run_id:(%x+)') or found[2] or ''
  local number = before + 1
  if found[2] and found[2] ~= server then
    number = math.max(before + 1000, math.min(now_ms(), 140737488355328))  -- in 12 hexadecimal digits at any rate
  end
  return {number = number, before = before, server = server}
end

-- The first of the keys that was never put ({2, key}) or that is being deleted ({3, key}); nil if all may be named.
local function not_nameable(unnamed, keys)
  for first = 1, #keys, 1000 do
    local last = math.min(first + 999, #keys)
    for number, since in ipairs(redis.call('HMGET', unnamed, unpack(keys, first, last))) do
      if not since then return {2, keys[first + number - 1]} end
      if string.sub(since, 1, 1) == '-' then return {3, keys[first + number - 1]} end
    end
  end
end

local function name_all(unnamed, keys)
  for first = 1, #keys, 1000 do
    redis.call('HDEL', unnamed, unpack(keys, first, math.min(first + 999, #keys)))
  end
end

local taken = 0
local function take()
  taken = taken + 1
  return ARGV[taken]
end
local function take_list()
  local list = {}
  for number = 1, tonumber(take()) do list[number] = take() end
  return list
end
"""
)

COMMIT = Script(
    "#!lua\n"
    + _BUMP
    + """
-- KEYS: cursor, through, changes, instances, unnamed, then the blocks of each instance.
-- ARGV: mark; windows as (window, from, to); payload keys; manifests as (number of the blocks key, uid, bytes).
-- {0}: another committer was first; {1, generation}; {2, key}, {3, key}: see not_nameable.
local cursor, through, changes, instances, unnamed = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]
local mark, windows, payload, manifests = take(), take_list(), take_list(), take_list()
for number = 1, #windows, 3 do
  if (redis.call('HGET', through, windows[number]) or '0') ~= windows[number + 1] then return {0} end
end
local refusal = not_nameable(unnamed, payload)
if refusal then return refusal end

local generation = next_generation(cursor)
local touched_windows, touched_blocks = {}, {}
for number = 1, #manifests, 3 do
  local uid = manifests[number + 1]
  local field = string.format('%012x-%06x', generation.number, (number - 1) / 3)
  redis.call('HSET', KEYS[tonumber(manifests[number])], field, manifests[number + 2])
  redis.call('SADD', instances, uid)
  touched_blocks[#touched_blocks + 1] = uid .. ':' .. field
end
for number = 1, #windows, 3 do
  redis.call('HSET', through, windows[number], windows[number + 2])
  touched_windows[#touched_windows + 1] = windows[number]
end
name_all(unnamed, payload)
bump(cursor, changes, generation, mark, touched_windows, touched_blocks)
return {1, generation.number}
"""
)

REPLACE = Script(
    "#!lua flags=allow-oom\n"
    + _BUMP
    + """
-- KEYS: cursor, changes, instances, unnamed, then the blocks of each instance.
-- ARGV: mark; payload keys that get a name; those that lose theirs; places as (number of the blocks key, uid, field,
-- bytes as they must stand, bytes to stand there or '' for none).
-- {0}: a place has changed; else as COMMIT.
local cursor, changes, instances, unnamed = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local mark, coming, going, places = take(), take_list(), take_list(), take_list()
for number = 1, #places, 5 do
  if redis.call('HGET', KEYS[tonumber(places[number])], places[number + 2]) ~= places[number + 3] then return {0} end
end
local refusal = not_nameable(unnamed, coming)
if refusal then return refusal end

local touched = {}
for number = 1, #places, 5 do
  local blocks, uid, field = KEYS[tonumber(places[number])], places[number + 1], places[number + 2]
  local bytes = places[number + 4]
  if bytes == '' then
    redis.call('HDEL', blocks, field)
    if redis.call('EXISTS', blocks) == 0 then redis.call('SREM', instances, uid) end
  else
    redis.call('HSET', blocks, field, bytes)
    redis.call('SADD', instances, uid)
  end
  touched[#touched + 1] = uid .. ':' .. field
end
name_all(unnamed, coming)
local now = string.format('%.0f', now_ms())
for _, key in ipairs(going) do redis.call('HSET', unnamed, key, now) end
local generation = next_generation(cursor)
bump(cursor, changes, generation, mark, {}, touched)
return {1, generation.number}
"""
)

FORGET_WINDOWS = Script(
    "#!lua flags=allow-oom\n"
    + _BUMP
    + """
-- KEYS: cursor, through, changes. ARGV: mark; the generation and mark as they must stand; windows. 0: they do not.
local cursor, through, changes = KEYS[1], KEYS[2], KEYS[3]
local mark, number, before, windows = take(), take(), take(), take_list()
local found = redis.call('HMGET', cursor, 'generation', 'mark')
if found[1] ~= number or found[2] ~= before then return 0 end
for _, window in ipairs(windows) do redis.call('HDEL', through, window) end
bump(cursor, changes, next_generation(cursor), mark, windows, {})
return 1
"""
)

ADVANCE = Script(
    """#!lua flags=allow-oom
-- KEYS: cursor. ARGV: replay_from.
if tonumber(ARGV[1]) > tonumber(redis.call('HGET', KEYS[1], 'replay_from') or '0') then
  redis.call('HSET', KEYS[1], 'format', 1, 'replay_from', ARGV[1])
end
return 1
"""
)

REGISTER = Script(
    "#!lua\n"
    + _NOW
    + """
-- KEYS: cursor, unnamed. ARGV: generation and mark at which no manifest named the keys, then the keys.
-- {0}: the directory has changed; {3, key}: it is being deleted; {1}.
local found = redis.call('HMGET', KEYS[1], 'generation', 'mark')
if (found[1] or '0') ~= ARGV[1] or (found[2] or '') ~= ARGV[2] then return {0} end
for number = 3, #ARGV do
  local since = redis.call('HGET', KEYS[2], ARGV[number])
  if since and string.sub(since, 1, 1) == '-' then return {3, ARGV[number]} end
end
local now = string.format('%.0f', now_ms())
for number = 3, #ARGV do redis.call('HSET', KEYS[2], ARGV[number], now) end
return {1}
"""
)

DELETING = Script(
    """#!lua flags=allow-oom
-- KEYS: unnamed. ARGV: keys. Returns those that no manifest names, and from here on none can.
local found = {}
for _, key in ipairs(ARGV) do
  local since = redis.call('HGET', KEYS[1], key)
  if since then
    found[#found + 1] = key
    if string.sub(since, 1, 1) ~= '-' then redis.call('HSET', KEYS[1], key, '-' .. since) end
  end
end
return found
"""
)

ORPHANS = Script(
    "#!lua flags=no-writes\n"
    + _NOW
    + """
-- KEYS: unnamed. ARGV: age in ms, how many at most.
local found, until_ms, most = {}, now_ms() - tonumber(ARGV[1]), tonumber(ARGV[2])
local all = redis.call('HGETALL', KEYS[1])
for number = 1, #all, 2 do
  if math.abs(tonumber(all[number + 1]) or 0) <= until_ms then found[#found + 1] = all[number] end
  if #found >= most then break end
end
return found
"""
)

_SINCE = """
-- {format, generation, mark, …} as `head` has it, and the changes after the generation and mark that the reader has
-- ('0', '' for none). nil: it must read everything anew, because it is far behind or saw a store that was turned back.
local function changes_since(head, changes, mine, mark, most)
  local generation, own = tonumber(head[2] or '0'), tonumber(mine)
  if generation == own and (head[3] or '') == mark then return {} end
  if generation <= own or redis.call('ZCOUNT', changes, mine, head[2]) > tonumber(most) + 1 then return nil end
  local entries = redis.call('ZRANGEBYSCORE', changes, mine, head[2])
  if own > 0 then
    if not entries[1] or string.match(entries[1], '^%d+ (%S+) ') ~= mark then return nil end
    table.remove(entries, 1)
  end
  for _, entry in ipairs(entries) do
    local number, before = string.match(entry, '^(%d+) %S+ %d+ (%d+) ')
    if tonumber(before) ~= own then return nil end
    own = tonumber(number)
  end
  if own ~= generation then return nil end
  return entries
end
"""

READ = Script(
    "#!lua flags=no-writes\n"
    + _SINCE
    + """
-- KEYS: cursor, changes, through. ARGV: the generation and mark that the reader has ('0', '' for none), the prefix of
-- blocks keys, how many entries and how many blocks at most.
-- {format, generation, mark, replay_from} and, unless the reader must read everything anew,
-- {window, through or nil, …} and {uid, field, bytes or nil, …}: what has changed since, as it stands now.
local head = redis.call('HMGET', KEYS[1], 'format', 'generation', 'mark', 'replay_from')
local entries = changes_since(head, KEYS[2], ARGV[1], ARGV[2], ARGV[4])
if not entries then return {head} end

local windows, blocks, seen, count = {}, {}, {}, 0
for _, entry in ipairs(entries) do
  local touched_windows, touched_blocks = string.match(entry, '(%S+) (%S+)$')
  for window in string.gmatch(touched_windows, '-?%d+') do
    if not seen[window] then
      seen[window] = true
      windows[#windows + 1] = window
      windows[#windows + 1] = redis.call('HGET', KEYS[3], window)
    end
  end
  for place in string.gmatch(touched_blocks, '[^,]+') do
    local uid, field = string.match(place, '^(%x+):(.+)$')
    if uid and not seen[place] then
      seen[place] = true
      count = count + 1
      if count > tonumber(ARGV[5]) then return {head} end
      blocks[#blocks + 1] = uid
      blocks[#blocks + 1] = field
      blocks[#blocks + 1] = redis.call('HGET', ARGV[3] .. uid, field)
    end
  end
end
return {head, windows, blocks}
"""
)

KEEP_ASIDE = Script(
    """#!lua
-- KEYS: aside. ARGV: offset, value, reason, records and bytes of values at most. 1: kept; 0: no room.
-- The value lies under its offset, the reason under 'why' and the offset.
if redis.call('HEXISTS', KEYS[1], ARGV[1]) == 1 then return 1 end
local records, held = 0, 0
for _, field in ipairs(redis.call('HKEYS', KEYS[1])) do
  if string.match(field, '^%d+$') then
    records = records + 1
    held = held + redis.call('HSTRLEN', KEYS[1], field)
  end
end
if records >= tonumber(ARGV[4]) or held + #ARGV[2] > tonumber(ARGV[5]) then return 0 end
redis.call('HSET', KEYS[1], ARGV[1], ARGV[2], 'why' .. ARGV[1], ARGV[3])
return 1
"""
)

PUT_GROUPS = Script(
    """#!lua flags=allow-oom
-- KEYS: groups. ARGV: since, offset, then fields and values; a field whose value is empty goes. The offset that the
-- groups are as of: it lies under 'offset', which is shorter than every other field.
local stored = tonumber(redis.call('HGET', KEYS[1], 'offset') or '0')
if stored < tonumber(ARGV[1]) or stored > tonumber(ARGV[2]) then return stored end
redis.call('HSET', KEYS[1], 'offset', ARGV[2])
for number = 3, #ARGV, 2 do
  if ARGV[number + 1] == '' then
    redis.call('HDEL', KEYS[1], ARGV[number])
  else
    redis.call('HSET', KEYS[1], ARGV[number], ARGV[number + 1])
  end
end
return tonumber(ARGV[2])
"""
)

PUT_AS_OF = Script(
    """#!lua
-- KEYS: states of instances, and the offsets that they are as of. ARGV: uid, offset, state.
-- 0: there is a later one, which stays.
if tonumber(redis.call('HGET', KEYS[2], ARGV[1]) or '0') > tonumber(ARGV[2]) then return 0 end
redis.call('HSET', KEYS[1], ARGV[1], ARGV[3])
redis.call('HSET', KEYS[2], ARGV[1], ARGV[2])
return 1
"""
)

READ_REGISTRY = Script(
    "#!lua flags=no-writes\n"
    + _SINCE
    + """
-- KEYS: state, changes, instances. ARGV: as READ: generation, mark, how many entries at most.
-- {format, generation, mark} and, unless the reader must read everything anew, {name, record or nil, …}.
local head = redis.call('HMGET', KEYS[1], 'format', 'generation', 'mark')
local entries = changes_since(head, KEYS[2], ARGV[1], ARGV[2], ARGV[3])
if not entries then return {head} end
local found, seen = {}, {}
for _, entry in ipairs(entries) do
  for digits in string.gmatch(string.match(entry, '(%S+)$'), '%x+') do
    local name = string.gsub(digits, '%x%x', function(pair) return string.char(tonumber(pair, 16)) end)
    if not seen[name] then
      seen[name] = true
      found[#found + 1] = name
      found[#found + 1] = redis.call('HGET', KEYS[3], name)
    end
  end
end
return {head, found}
"""
)

CHANGE_REGISTRY = Script(
    "#!lua flags=allow-oom\n"
    + _BUMP
    + """
-- KEYS: state, changes, instances, tokens, deleted.
-- ARGV: mark; name, record, digest of the token and uid as they must stand, '' for none; name, record and digest as
-- they shall; the name in hexadecimal. 0: something else stands, or the token is taken.
local state, changes, instances, tokens, deleted = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]
local mark, old_name, old_record, old_token, old_uid = take(), take(), take(), take(), take()
local name, record, token, digits = take(), take(), take(), take()
if old_name ~= '' then
  if redis.call('HGET', instances, old_name) ~= old_record then return 0 end
elseif redis.call('HEXISTS', instances, name) == 1 then
  return 0
end
if name ~= '' and token ~= old_token and redis.call('HEXISTS', tokens, token) == 1 then return 0 end

if old_token ~= '' then redis.call('HDEL', tokens, old_token) end
if name ~= '' then
  redis.call('HSET', instances, name, record)
  redis.call('HSET', tokens, token, name)
else
  redis.call('HDEL', instances, old_name)
  redis.call('SADD', deleted, old_uid)
end
bump(state, changes, next_generation(state), mark, {}, {digits})
return 1
"""
)

ADD_REJECTIONS = Script(
    """#!lua
-- KEYS: an instance's rejections. ARGV: how long they are kept in ms; reason, samples, time in ms, example, …
for i = 2, #ARGV, 4 do
  redis.call('HINCRBY', KEYS[1], 'samples ' .. ARGV[i], ARGV[i + 1])
  redis.call('HSET', KEYS[1], 'last ' .. ARGV[i], ARGV[i + 2], 'example ' .. ARGV[i], ARGV[i + 3])
end
redis.call('PEXPIRE', KEYS[1], ARGV[1])
return 1
"""
)

ANNOUNCE = Script(
    """#!lua flags=allow-oom
"""
    + _NOW
    + """
-- KEYS: a crowd. ARGV: who speaks; how long in ms somebody is counted after a word. Replies how many there are.
local now = now_ms()
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now - ARGV[2])
redis.call('ZADD', KEYS[1], now, ARGV[1])
return redis.call('ZCARD', KEYS[1])
"""
)
