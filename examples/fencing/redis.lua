-- Sets KEYS[1] to ARGV[2] unless a newer leader has set it. ARGV[1] is LEADEREXEC_FENCE.
--   redis-cli --eval redis.lua my-key , "$LEADEREXEC_FENCE" "value"
-- Lua's numbers lose precision above 2^53, so fences are compared by length and then as text.
-- Both keys must be in one slot of a cluster: my-key as {my-key}.
local guard = KEYS[1] .. ':fence'
local newest = redis.call('GET', guard) or '0'
local mine = ARGV[1]
if #mine < #newest or (#mine == #newest and mine < newest) then
    return redis.error_reply('FENCED a newer leader has written with ' .. newest)
end
redis.call('SET', guard, mine)
redis.call('SET', KEYS[1], ARGV[2])
return redis.status_reply('OK')
