-- Take members whose record does not name the room out of it; a room without members goes. What makes one member sets both at once, so
-- that a difference is never one that is about to be mended.
-- KEYS: room, its members, rooms of the channel. ARGV: how a connection's key is named (%s is the id), room id, then connection ids.
-- Returns how many members were taken out, and whether the room went.
local removed = 0
for at = 3, #ARGV do
  local held = redis.call('HGET', string.format(ARGV[1], ARGV[at]), 'subscriptions') or ''
  if not string.find(' ' .. held .. ' ', ' ' .. ARGV[2] .. ' ', 1, true) then
    removed = removed + redis.call('SREM', KEYS[2], ARGV[at])
  end
end
if redis.call('EXISTS', KEYS[2]) == 1 then
  return { removed, 0 }
end
return { removed, redis.call('DEL', KEYS[1]) + redis.call('SREM', KEYS[3], ARGV[2]) > 0 and 1 or 0 }
