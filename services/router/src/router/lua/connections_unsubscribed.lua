-- Record that connections have left rooms; a room goes with its last member. Idempotent.
-- ARGV: how keys are named (%s is the id): connection, room, members, rooms of a channel; then connection id and room id, for each.
-- Returns how many were members.
local removed = 0
for at = 5, #ARGV, 2 do
  local id, room = ARGV[at], ARGV[at + 1]
  local record = string.format(ARGV[1], id)
  local held = redis.call('HGET', record, 'subscriptions')
  if held then
    local left = {}
    for each in string.gmatch(held, '%S+') do
      if each ~= room then left[#left + 1] = each end
    end
    redis.call('HSET', record, 'subscriptions', table.concat(left, ' '))
  end
  local members = string.format(ARGV[3], room)
  removed = removed + redis.call('SREM', members, id)
  if redis.call('EXISTS', members) == 0 then
    redis.call('DEL', string.format(ARGV[2], room))
    redis.call('SREM', string.format(ARGV[4], string.match(room, '^[^:]*')), room)
  end
end
return removed
