-- Remove the rooms that older holders of a slot wanted. KEYS: the slot's rooms. ARGV: fencing epoch. Returns how many.
local removed = 0
local rooms = redis.call('HGETALL', KEYS[1])
for at = 1, #rooms, 2 do
  if cjson.decode(rooms[at + 1])['epoch'] < tonumber(ARGV[1]) then
    removed = removed + redis.call('HDEL', KEYS[1], rooms[at])
  end
end
return removed
