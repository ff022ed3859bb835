-- Remove connections with their memberships, and rooms that lose their last member; mark them closed, so that late events are void.
-- KEYS: all connections, the slot's connections.
-- ARGV: seconds to keep the marks; how keys are named (%s is the id): closed mark, connection, room, members, rooms of a channel;
-- the fencing epoch below which they are removed, or '' for any; then connection ids. Returns how many had a record.
local below = tonumber(ARGV[7])
local removed = 0
for at = 8, #ARGV do
  local id = ARGV[at]
  local record = string.format(ARGV[3], id)
  local held = redis.call('HMGET', record, 'subscriptions', 'epoch')
  if not below or tonumber(held[2] or '0') < below then
    for room in string.gmatch(held[1] or '', '%S+') do
      local members = string.format(ARGV[5], room)
      redis.call('SREM', members, id)
      if redis.call('EXISTS', members) == 0 then
        redis.call('DEL', string.format(ARGV[4], room))
        redis.call('SREM', string.format(ARGV[6], string.match(room, '^[^:]*')), room)
      end
    end
    redis.call('SET', string.format(ARGV[2], id), '1', 'EX', ARGV[1])
    removed = removed + redis.call('DEL', record)
    redis.call('SREM', KEYS[1], id)
    redis.call('SREM', KEYS[2], id)
  end
end
return removed
