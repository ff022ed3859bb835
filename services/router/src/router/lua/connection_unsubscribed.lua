-- Record that a connection has left a room; the room goes with its last member. Idempotent.
-- KEYS: connection, room, its members, rooms of the channel. ARGV: connection id, room id.
local held = redis.call('HGET', KEYS[1], 'subscriptions')
if held then
  local left = {}
  for room in string.gmatch(held, '%S+') do
    if room ~= ARGV[2] then left[#left + 1] = room end
  end
  redis.call('HSET', KEYS[1], 'subscriptions', table.concat(left, ' '))
end
local removed = redis.call('SREM', KEYS[3], ARGV[1])
if redis.call('EXISTS', KEYS[3]) == 0 then
  redis.call('DEL', KEYS[2])
  redis.call('SREM', KEYS[4], ARGV[2])
end
return removed
