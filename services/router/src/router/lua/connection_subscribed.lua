-- Record that a connection is in a room, unless it is closed already or its slot has a newer holder. Idempotent.
-- May come before the connection's own record: the two events travel by different topics.
-- KEYS: closed mark, slot, connection, the slot's connections, room, its members, rooms of the channel.
-- ARGV: the event's fencing epoch, seconds to keep, connection id, room id, channel, filter.
if redis.call('EXISTS', KEYS[1]) == 1 or tonumber(redis.call('HGET', KEYS[2], 'epoch') or '0') > tonumber(ARGV[1]) then
  return 0
end
local held = redis.call('HGET', KEYS[3], 'subscriptions') or ''
if not string.find(' ' .. held .. ' ', ' ' .. ARGV[4] .. ' ', 1, true) then
  held = held == '' and ARGV[4] or held .. ' ' .. ARGV[4]
  redis.call('HSET', KEYS[3], 'epoch', ARGV[1], 'subscriptions', held)
end
redis.call('EXPIRE', KEYS[3], ARGV[2])
redis.call('SADD', KEYS[4], ARGV[3])
redis.call('HSET', KEYS[5], 'channel', ARGV[5], 'filter', ARGV[6])
redis.call('SADD', KEYS[6], ARGV[3])
redis.call('SADD', KEYS[7], ARGV[4])
return 1
