#!/usr/bin/env bash
# Put the model into models/ unless a whole export of it is there: ./setup_models.sh [export_model.py options]
#
#   SOURCE_MODEL   Hugging Face id or local directory (default Qwen/Qwen2.5-VL-7B-Instruct)
#   MODEL_NAME     servable name (default Qwen/Qwen2.5-VL-7B-Instruct-ov-int8)
#   TARGET_DEVICE  GPU (default) or CPU
#   CACHE_SIZE     KV cache in GiB (default 4; 2 on a host with 16 GiB)
#   PYTHON         Python with the packages of export_requirements.txt (default python3)
set -euo pipefail
cd "$(dirname "$0")"

# Whether the export is there and whole is the exporter's own question: it checks every part, and converts
# only if it has to.
exec "${PYTHON:-python3}" export_model.py text_generation \
    --source_model "${SOURCE_MODEL:-Qwen/Qwen2.5-VL-7B-Instruct}" \
    --model_name "${MODEL_NAME:-Qwen/Qwen2.5-VL-7B-Instruct-ov-int8}" \
    --model_repository_path models \
    --weight-format int8 \
    --target_device "${TARGET_DEVICE:-GPU}" \
    --cache_size "${CACHE_SIZE:-4}" \
    --max_num_seqs 1 \
    --enable_prefix_caching \
    "$@"
