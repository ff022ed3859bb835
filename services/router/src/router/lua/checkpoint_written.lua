-- Write changes to a checkpoint, all or none.
-- KEYS: checkpoint. ARGV: generation, 'whole' to begin it anew, stream's epoch, offset up to which it holds with this ('' when more of it is to
-- come), number of removed fields, those, then fields and values.
-- Returns 1; 0 when a newer owner has it; -1 when it is not the one that was claimed, as Redis was emptied: begin it anew.
local held = tonumber(redis.call('HGET', KEYS[1], 'generation') or '0')
if held > tonumber(ARGV[1]) then
  return 0
end
if ARGV[2] == 'whole' then
  redis.call('DEL', KEYS[1])
elseif held < tonumber(ARGV[1]) then
  return -1
end
redis.call('HSET', KEYS[1], 'generation', ARGV[1], 'stream', ARGV[3])
local first = 6 + tonumber(ARGV[5])
for n = 6, first - 1 do
  redis.call('HDEL', KEYS[1], ARGV[n])
end
for n = first, #ARGV - 1, 2 do
  redis.call('HSET', KEYS[1], ARGV[n], ARGV[n + 1])
end
if ARGV[4] ~= '' then
  redis.call('HSET', KEYS[1], 'offset', ARGV[4])
end
return 1
