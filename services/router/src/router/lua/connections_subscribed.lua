-- Record that connections are in rooms, but for those that are closed already; none when their slot has a newer holder. Idempotent.
-- May come before the connection's own record: the two events travel by different topics.
-- KEYS: slot, the slot's connections.
-- ARGV: the events' fencing epoch, seconds to keep; how keys are named (%s is the id): closed mark, connection, room, members, rooms of a
-- channel; then connection id, room id and filter, for each. Returns how many were recorded.
if tonumber(redis.call('HGET', KEYS[1], 'epoch') or '0') > tonumber(ARGV[1]) then
  return 0
end
local recorded = 0
for at = 8, #ARGV, 3 do
  local id, room, filter = ARGV[at], ARGV[at + 1], ARGV[at + 2]
  if redis.call('EXISTS', string.format(ARGV[3], id)) == 0 then
    local record = string.format(ARGV[4], id)
    local held = redis.call('HGET', record, 'subscriptions') or ''
    if not string.find(' ' .. held .. ' ', ' ' .. room .. ' ', 1, true) then
      held = held == '' and room or held .. ' ' .. room
      redis.call('HSET', record, 'epoch', ARGV[1], 'subscriptions', held)
    end
    redis.call('EXPIRE', record, ARGV[2])
    redis.call('SADD', KEYS[2], id)
    local channel = string.match(room, '^[^:]*')
    redis.call('HSET', string.format(ARGV[5], room), 'channel', channel, 'filter', filter)
    redis.call('SADD', string.format(ARGV[6], room), id)
    redis.call('SADD', string.format(ARGV[7], channel), room)
    recorded = recorded + 1
  end
end
return recorded
