#!/usr/bin/env bash
set -euo pipefail
invoked_from=$PWD
cd "$(dirname "$0")"

usage() {
    cat <<'END'
usage: ./setup_models.sh [--yes] [-h|--help] [-- EXPORT_MODEL_OPTIONS]

Brings the model into models/:
  there and whole      nothing to do; says what was made otherwise than asked for now
  there and damaged    says what is wrong, asks, makes it anew
  not there            asks whether to copy a whole copy that it finds on this machine, else exports

  --yes   answer every question with yes. Without it, and without a terminal to ask on, it says what it
          would do and ends with status 1. An export of a model that is not there needs no answer.

environment (with its default):
  SOURCE_MODEL       Hugging Face id or local directory (Qwen/Qwen2.5-VL-7B-Instruct)
  MODEL_NAME         what applications ask for (Qwen/Qwen2.5-VL-7B-Instruct-ov-int8)
  TARGET_DEVICE      GPU or CPU (GPU)
  CACHE_SIZE         KV cache in GiB (4; give 2 for a host of 16 GiB)
  MODEL_SEARCH_PATH  where to look for copies
                     (/var/lib/ovms-edge/releases:../models:/opt/models:~/models)
  PYTHON             has the packages of export_requirements.txt (.venv/bin/python, else python3)

To make a model that is there and whole as it is asked for now: ./setup_models.sh -- --overwrite_models
(nothing is converted if only the graph differs).

status: 0 the model is there and whole, 1 it is not, 2 usage
END
}

say() { printf 'setup_models: %s\n' "$*" >&2; }

assume_yes=false
while (($#)); do
    case $1 in
        -h | --help) usage && exit 0 ;;
        -y | --yes) assume_yes=true ;;
        --) shift && break ;;
        *) say "unknown argument $1; see --help, options of export_model.py go after --" && exit 2 ;;
    esac
    shift
done
export_options=("$@")

source_model=${SOURCE_MODEL:-Qwen/Qwen2.5-VL-7B-Instruct}
model_name=${MODEL_NAME:-Qwen/Qwen2.5-VL-7B-Instruct-ov-int8}
search_path=${MODEL_SEARCH_PATH-/var/lib/ovms-edge/releases:../models:/opt/models:$HOME/models}
python=${PYTHON:-}
[[ -n $python || ! -x .venv/bin/python ]] || python=.venv/bin/python
python=${python:-python3}
# relative names are the caller's, from where the caller stands
[[ ! -d $invoked_from/$source_model ]] || source_model=$invoked_from/$source_model
[[ $python != */* || -x $python ]] || python=$invoked_from/$python

# Asks "$1"; without a terminal it says that it would have asked, and how to answer.
confirm() {
    $assume_yes && return 0
    if [[ ! -t 0 ]]; then
        say "$1 No terminal to ask on: add --yes to do it"
        exit 1
    fi
    local answer
    read -r -p "setup_models: $1 [y/N] " answer
    [[ $answer == [yY]* ]]
}

local_models() { PYTHONPATH=../src "$python" -m ovms_edge.export.local_models "$@"; }

# The exporter makes the model beside its place and moves it there whole: killed at any moment, this leaves
# the model that was there, or none.
make_model() {
    "$python" export_model.py text_generation \
        --source_model "$1" \
        --model_name "$model_name" \
        --model_repository_path models \
        --weight-format int8 \
        --target_device "${TARGET_DEVICE:-GPU}" \
        --cache_size "${CACHE_SIZE:-4}" \
        --max_num_seqs 1 \
        --enable_prefix_caching \
        --ov_cache_dir /home/ovms/cache \
        "${replace[@]}" \
        "${export_options[@]}"
}

replace=()
state=$(local_models state --repository models --name "$model_name")
if [[ $state == damaged:* ]]; then
    say "models/$model_name is ${state}"
    confirm "Make it anew? It is replaced once the new one is whole." || exit 1
    replace=(--overwrite_models)
fi

overwrite=false
[[ " ${export_options[*]} " != *" --overwrite_models "* ]] || overwrite=true
if [[ $state == whole ]] && ! $overwrite; then
    differences=$(local_models differences --repository models --name "$model_name" \
        --source "${SOURCE_MODEL:+$source_model}" --device "${TARGET_DEVICE:-}" --cache-size "${CACHE_SIZE:-}")
    ((${#export_options[@]} == 0)) || differences+="${differences:+$'\n'}not applied: ${export_options[*]}"
    if [[ -n $differences ]]; then
        say "models/$model_name is there and stays as it is:"
        printf '  %s\n' "${differences//$'\n'/$'\n'  }" >&2
        say "to change it: ./setup_models.sh -- ${export_options[*]} --overwrite_models"
    fi
fi

if [[ $state != whole ]] || $overwrite; then
    origin=$source_model
    mapfile -t found < <(local_models find --name "$model_name" --source "$source_model" \
        --weight-format int8 --places "$search_path")
    wait $! # its status: a failed search is not one that found nothing
    for copy in "${found[@]}"; do
        if confirm "Copy the whole model in ${copy}?"; then
            origin=$copy
            break
        fi
    done
    [[ $origin != "$source_model" ]] || say "exporting ${source_model}"
    make_model "$origin"
fi

# OVMS reads as uid 5000, whatever umask the directories were made with
chmod -R a+rX models
if ! PYTHONPATH=../src "$python" -m ovms_edge.cli graph check "models/$model_name"; then
    say "OVMS would not load it; mend it by hand, or with ovms-edge graph check models/$model_name --fix"
    exit 1
fi
say "models/$model_name is whole"
